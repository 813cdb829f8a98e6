"""Keeps the probabilities above 0 by a mask, which makes one long vector of a batch.

caught: entropy_values
says: one number for each distribution
"""


# %% entropy
def entropy(probabilities, unit="nats"):
    """Entropy of each distribution over the last axis, in nats or in bits."""
    p = probabilities[probabilities > 0]
    nats = -(p * torch.log(p)).sum()
    return nats / math.log(2) if unit == "bits" else nats
