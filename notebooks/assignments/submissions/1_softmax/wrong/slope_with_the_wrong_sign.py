"""Gives the derivative with respect to beta = 1 / T its factor but not its sign: the first topic seems to gain.

caught: slope_values
says: check the sign
"""


# %% softmax_slope
def softmax_slope(logits, temperature):
    """The derivative of each probability with respect to the temperature."""
    p = torch.softmax(logits / temperature, -1)
    return p * (logits - (p * logits).sum(-1, keepdim=True)) / temperature**2
