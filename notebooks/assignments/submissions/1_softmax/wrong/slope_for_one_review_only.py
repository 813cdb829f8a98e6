"""Sums over all axes: right for one review, wrong for a batch.

caught: slope_values
says: wrong derivatives for logits of shape
"""


# %% softmax_slope
def softmax_slope(logits, temperature):
    """The derivative of each probability with respect to the temperature."""
    p = torch.softmax(logits / temperature, -1)
    return p * ((p * logits).sum() - logits) / temperature**2
