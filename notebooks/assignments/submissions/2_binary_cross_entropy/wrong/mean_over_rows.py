"""Divides by the number of texts, not by the number of entries; right for the vectors that are shown.

caught: gradient_mean
says: what is n there
"""


# %% gradient
def gradient(logits, targets, weight):
    p = torch.sigmoid(logits)
    return (p - targets + (1 - weight) * targets * (1 - p)) / len(logits)
