"""Subtracts the largest logit of the whole batch: rows far below it underflow to 0 / 0.

caught: softmax_stable
says: is one largest logit used for all rows
"""


# %% softmax
def softmax(logits, temperature):
    """Probabilities over the last axis, at this temperature."""
    scaled = logits / temperature
    powers = torch.exp(scaled - scaled.max())
    return powers / powers.sum(-1, keepdim=True)
