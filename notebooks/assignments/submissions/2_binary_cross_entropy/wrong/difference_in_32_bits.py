"""Adds the step of 1e-5 to logits of 32 bits, which rounds most of it away.

caught: numeric_check
says: inexact for logits of 32 bits
"""


# %% numeric
def numeric_gradient(logits, targets, weight, step):
    slopes = torch.zeros(logits.shape, dtype=torch.float64)
    for place in np.ndindex(*logits.shape):
        up, down = logits.clone(), logits.clone()
        up[place] += step
        down[place] -= step
        slopes[place] = (mean_loss(up, targets, weight) - mean_loss(down, targets, weight)) / (2 * step)
    return slopes
