"""Hides the overflow with nan_to_num: no nan is left, and no distribution either.

caught: softmax_stable
says: the first class has to get the probability 1
"""


# %% softmax
def softmax(logits, temperature):
    """Probabilities over the last axis, at this temperature."""
    powers = torch.exp(logits / temperature)
    return torch.nan_to_num(powers / powers.sum(-1, keepdim=True))
