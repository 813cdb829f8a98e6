"""Clamps the probability at 1e-12 before the logarithm: finite, but no probability is below e to the power -27.6 any more.

caught: log_softmax_stable
says: a bound on the probability hides its true size
"""


# %% log_softmax
def log_softmax(logits, temperature):
    """Logarithms of the probabilities over the last axis, at this temperature."""
    return torch.log(softmax(logits, temperature).clamp(min=1e-12))
