"""Forgets keepdim in the sum, so that the sums of the rows are spread over the classes or do not fit.

caught: log_softmax_values, log_softmax_stable
says: must match the size of tensor b
"""


# %% log_softmax
def log_softmax(logits, temperature):
    """Logarithms of the probabilities over the last axis, at this temperature."""
    scaled = logits / temperature
    shifted = scaled - scaled.amax(-1, keepdim=True)
    return shifted - torch.log(torch.exp(shifted).sum(-1))
