"""Multiplies the quotient form by p(1 − p) without cancelling: nan where p has rounded to 0 or 1.

caught: gradient_mean
says: division by p or 1 − p
"""


# %% gradient
def gradient(logits, targets, weight):
    p = torch.sigmoid(logits)
    by_p = -weight * targets / p + (1 - targets) / (1 - p)
    return by_p * p * (1 - p) / logits.numel()
