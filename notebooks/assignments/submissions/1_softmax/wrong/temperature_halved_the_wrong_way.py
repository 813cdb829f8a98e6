"""Keeps the wrong half: lowers the temperature where there is too little entropy. Reads even_temperature off another program.

caught: temperature_found, temperature_none
says: the entropy is
"""


# %% temperature_for
def temperature_for(logits, share):
    """The temperature at which the softmax has this share of the largest possible entropy."""
    wanted = share * math.log(len(logits))
    ahead = int((logits == logits.max()).sum())
    if not math.log(ahead) < wanted < math.log(len(logits)):
        raise ValueError("there is no such temperature")
    size = float(logits.max() - logits.min())
    low, high = 1e-4 * size, 1e4 * size
    for _ in range(100):
        middle = math.sqrt(low * high)
        if torch.special.entr(torch.softmax(logits / middle, -1)).sum() < wanted:
            high = middle
        else:
            low = middle
    return middle


# %% reading
logits = torch.tensor(variant["logits"], dtype=torch.float64)
soft = torch.softmax(logits / variant["temperature"], -1)
first, second = soft.topk(2).values.tolist()
ratio, others = first / second, 1 - first
bits = float(torch.special.entr(soft).sum()) / math.log(2)
grid = torch.arange(0.5, 5, 0.001, dtype=torch.float64)
doubts = torch.special.entr(torch.softmax(logits / grid[:, None], -1)).sum(-1)
even_temperature = float(grid[(doubts - variant["share"] * math.log(5)).abs().argmin()])
gaining = [topic for topic, logit in zip(TOPICS, logits, strict=True) if logit < soft @ logits]
