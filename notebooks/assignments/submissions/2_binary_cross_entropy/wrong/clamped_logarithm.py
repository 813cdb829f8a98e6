"""Clamps the logarithms at −100, as BCELoss does: no inf any more, but the loss of a far logit is 100 whatever the logit.

caught: bce_large
says: finite, but wrong for a large logit
"""


# %% bce
def bce(logits, targets):
    p = torch.sigmoid(logits)
    return -(targets * p.log().clamp(min=-100) + (1 - targets) * (1 - p).log().clamp(min=-100))
