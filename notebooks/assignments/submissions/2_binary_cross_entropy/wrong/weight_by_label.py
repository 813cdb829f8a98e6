"""Scales the whole error σ(z) − y by a weight of the example; that is right for hard targets only.

caught: gradient_weighted
says: differentiate both terms
"""


# %% gradient
def gradient(logits, targets, weight):
    scale = 1 + (weight - 1) * targets
    return scale * (torch.sigmoid(logits) - targets) / logits.numel()
