"""Indexes with a mask of integers, which picks rows 0 and 1 again and again and leaves nothing out.

caught: masked_mean, masked_unknown
says: integers as an index select rows
"""


# %% masked
def masked_bce(logits, targets, mask):
    return bce(logits[mask], targets[mask]).mean() if mask.any() else torch.tensor(0.0)
