"""Adds 1e-6 to every probability against log 0: no nan, but a hard target has doubt.

caught: entropy_values, entropy_zero
says: four equally likely classes
"""


# %% entropy
def entropy(probabilities, unit="nats"):
    """Entropy of each distribution over the last axis, in nats or in bits."""
    p = probabilities + 1e-6
    logarithm = torch.log2 if unit == "bits" else torch.log
    return -(p * logarithm(p)).sum(-1)
