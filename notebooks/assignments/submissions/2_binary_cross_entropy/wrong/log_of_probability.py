"""Computes p first and takes logarithms of it, as the formula stands.

caught: bce_large
says: do you compute log(p) of a rounded p
"""


# %% bce
def bce(logits, targets):
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))
