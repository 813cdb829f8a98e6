"""Averages over the batch, as a loss would: one number in place of one for each distribution.

caught: entropy_values
says: one number for each distribution
"""


# %% entropy
def entropy(probabilities, unit="nats"):
    """Entropy of each distribution over the last axis, in nats or in bits."""
    nats = torch.special.entr(probabilities).sum(-1).mean()
    return nats / math.log(2) if unit == "bits" else nats
