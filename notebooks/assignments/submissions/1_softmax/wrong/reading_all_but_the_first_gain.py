"""Guesses that every topic but the most likely one gains when the temperature grows.

caught: reading_gaining
says: it need not be all but the first
"""

# %% reading
logits = torch.tensor(variant["logits"], dtype=torch.float64)
soft = torch.softmax(logits / variant["temperature"], -1)
first, second = soft.topk(2).values.tolist()
ratio, others = first / second, 1 - first
bits = float(torch.special.entr(soft).sum()) / math.log(2)
even_temperature = float(temperature_for(logits, variant["share"]))
gaining = [topic for k, topic in enumerate(TOPICS) if k != logits.argmax()]
