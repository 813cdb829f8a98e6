"""Writes the sum as it stands: 0 times log 0 is nan.

caught: entropy_zero
says: what is 0 · log 0 on the computer
"""


# %% entropy
def entropy(probabilities, unit="nats"):
    """Entropy of each distribution over the last axis, in nats or in bits."""
    logarithm = torch.log2 if unit == "bits" else torch.log
    return -(probabilities * logarithm(probabilities)).sum(-1)
