"""Multiplies by log 2 where bits are asked for, in place of dividing.

caught: entropy_values
says: which of the two units is the larger one
"""


# %% entropy
def entropy(probabilities, unit="nats"):
    """Entropy of each distribution over the last axis, in nats or in bits."""
    nats = -torch.special.xlogy(probabilities, probabilities).sum(-1)
    return nats * math.log(2) if unit == "bits" else nats
