"""Takes the logarithm of a stable softmax: the small probability is already stored as 0.

caught: log_softmax_stable
says: is a probability stored before its logarithm
"""


# %% log_softmax
def log_softmax(logits, temperature):
    """Logarithms of the probabilities over the last axis, at this temperature."""
    return torch.log(softmax(logits, temperature))
