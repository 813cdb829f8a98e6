"""Multiplies by the mask, so that nan at an unknown entry stays nan.

caught: masked_unknown
says: 0 times nan is nan
"""


# %% masked
def masked_bce(logits, targets, mask):
    return (bce(logits, targets) * mask).sum() / mask.sum().clamp(min=1)
