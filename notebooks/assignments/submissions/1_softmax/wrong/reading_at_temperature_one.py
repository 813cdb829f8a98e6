"""Reads the probabilities and the entropy at T = 1, without the temperature of the version.

caught: reading_shares, reading_doubt
says: at the temperature of your version
"""

# %% reading
logits = torch.tensor(variant["logits"], dtype=torch.float64)
hard = torch.softmax(logits, -1)
first, second = hard.topk(2).values.tolist()
ratio, others = first / second, 1 - first
bits = float(torch.special.entr(hard).sum()) / math.log(2)
even_temperature = float(temperature_for(logits, variant["share"]))
gaining = [topic for topic, slope in zip(TOPICS, softmax_slope(logits, variant["temperature"]), strict=True) if slope > 0]
