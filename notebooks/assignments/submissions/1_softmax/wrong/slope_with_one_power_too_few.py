"""Derives exp(z / T) with respect to z in place of T: a factor 1 / T where 1 / T² belongs.

caught: slope_values
says: have its power of T
"""


# %% softmax_slope
def softmax_slope(logits, temperature):
    """The derivative of each probability with respect to the temperature."""
    p = torch.softmax(logits / temperature, -1)
    return p * ((p * logits).sum(-1, keepdim=True) - logits) / temperature
