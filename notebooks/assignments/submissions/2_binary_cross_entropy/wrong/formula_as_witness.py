"""Returns the exact derivative in place of the quotient, so the witness only repeats what the accused said.

caught: numeric_check
says: wrong with h = 0.5
"""


# %% numeric
def numeric_gradient(logits, targets, weight, step):
    return gradient(logits.double(), targets.double(), weight)
