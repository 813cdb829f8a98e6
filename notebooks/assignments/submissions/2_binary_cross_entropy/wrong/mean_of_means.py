"""Takes the mean of each text, then the mean over texts: a lone label counts as much as a full row.

caught: masked_mean
says: each known entry counts the same
"""


# %% masked
def masked_bce(logits, targets, mask):
    losses = torch.where(mask == 1, bce(logits, targets), torch.zeros_like(logits))
    of_texts = losses.sum(-1) / mask.sum(-1).clamp(min=1)
    some = mask.sum(-1) > 0
    return of_texts[some].mean() if some.any() else torch.tensor(0.0)
