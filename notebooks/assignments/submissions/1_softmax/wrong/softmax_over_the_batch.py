"""Normalises over the first axis, dim=0, which is the only one for a single review but the reviews of a batch.

caught: softmax_axis
says: over which axis do you normalise
"""


# %% softmax
def softmax(logits, temperature):
    """Probabilities over the last axis, at this temperature."""
    scaled = logits / temperature
    powers = torch.exp(scaled - scaled.amax(0, keepdim=True))
    return powers / powers.sum(0, keepdim=True)
