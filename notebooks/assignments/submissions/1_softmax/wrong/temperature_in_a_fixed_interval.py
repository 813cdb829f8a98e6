"""Searches only between 0.01 and 100, where the temperature of ordinary logits lies.

caught: temperature_found
says: does the interval hold T
"""


# %% temperature_for
def temperature_for(logits, share):
    """The temperature at which the softmax has this share of the largest possible entropy."""
    wanted = share * math.log(len(logits))
    ahead = int((logits == logits.max()).sum())
    if not math.log(ahead) < wanted < math.log(len(logits)):
        raise ValueError("there is no such temperature")
    low, high = 0.01, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        if torch.special.entr(torch.softmax(logits / middle, -1)).sum() < wanted:
            low = middle
        else:
            high = middle
    return middle
