"""Subtracts the largest plain logit from the logits that were divided by T: the exponents are not at most 0.

caught: softmax_stable
says: which is the largest of just these
"""


# %% softmax
def softmax(logits, temperature):
    """Probabilities over the last axis, at this temperature."""
    powers = torch.exp(logits / temperature - logits.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)
