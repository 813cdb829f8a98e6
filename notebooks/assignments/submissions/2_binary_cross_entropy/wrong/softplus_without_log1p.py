"""Writes log(1 + x) where x may be far smaller than the rounding of 1.

caught: bce_large
says: a tiny loss is rounded away
"""


# %% bce
def bce(logits, targets):
    return torch.maximum(logits, torch.zeros_like(logits)) - logits * targets + torch.log(1 + torch.exp(-logits.abs()))
