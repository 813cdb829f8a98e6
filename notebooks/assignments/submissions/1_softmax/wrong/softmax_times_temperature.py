"""Multiplies the logits by the temperature, as one would with its inverse beta.

caught: softmax_values
says: where does the temperature act
"""


# %% softmax
def softmax(logits, temperature):
    """Probabilities over the last axis, at this temperature."""
    scaled = logits * temperature
    powers = torch.exp(scaled - scaled.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)
