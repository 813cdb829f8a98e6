"""Sets the loss of unknown entries to 0 but divides by the number of all entries.

caught: masked_mean, masked_unknown
says: what do you divide by
"""


# %% masked
def masked_bce(logits, targets, mask):
    return torch.where(mask == 1, bce(logits, targets), 0.0).mean()
