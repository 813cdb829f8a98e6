"""Refuses shares of 0 and below, 1 and above, but forgets that tied logits keep a doubt at every temperature.

caught: temperature_none
says: which entropy is left as T goes to 0
"""


# %% temperature_for
def temperature_for(logits, share):
    """The temperature at which the softmax has this share of the largest possible entropy."""
    if not 0 < share < 1:
        raise ValueError("the share has to lie between 0 and 1")
    wanted = share * math.log(len(logits))
    size = max(float(logits.max() - logits.min()), 1e-9)
    low, high = 1e-4 * size, 1e4 * size
    for _ in range(100):
        middle = math.sqrt(low * high)
        if torch.special.entr(torch.softmax(logits / middle, -1)).sum() < wanted:
            low = middle
        else:
            high = middle
    return middle
