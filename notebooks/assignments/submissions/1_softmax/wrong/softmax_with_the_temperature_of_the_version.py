"""Uses the temperature of the version in place of the argument: right for the numbers that are shown, wrong for all others.

caught: softmax_values, softmax_axis
says: does the function use the temperature that it is given
"""


# %% softmax
def softmax(logits, temperature):
    """Probabilities over the last axis, at this temperature."""
    scaled = logits / variant["temperature"]
    powers = torch.exp(scaled - scaled.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)
