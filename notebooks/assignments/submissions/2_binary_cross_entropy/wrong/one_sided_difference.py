"""Takes the forward quotient (L(z + h) − L(z)) / h in 64 bits.

caught: numeric_check
says: by h up and by h down
"""


# %% numeric
def numeric_gradient(logits, targets, weight, step):
    base = logits.double()
    slopes = torch.zeros_like(base)
    for place in np.ndindex(*base.shape):
        up = base.clone()
        up[place] += step
        slopes[place] = (mean_loss(up, targets, weight) - mean_loss(base, targets, weight)) / step
    return slopes
