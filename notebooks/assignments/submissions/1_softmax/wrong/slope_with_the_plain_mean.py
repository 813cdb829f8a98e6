"""Takes the plain average of the logits for the mean under the softmax, which is its limit for large T.

caught: slope_values
says: which mean of the logits
"""


# %% softmax_slope
def softmax_slope(logits, temperature):
    """The derivative of each probability with respect to the temperature."""
    p = torch.softmax(logits / temperature, -1)
    return p * (logits.mean(-1, keepdim=True) - logits) / temperature**2
