"""Guesses that every topic but the most likely one gains when the temperature grows.

caught: reading_gaining
says: it need not be all but the first
"""

# %% in reading
# -ratio = first / second
# -others = 1 - first
# +ratio, others = first / second, 1 - first
#
# -gaining = [topic for topic, logit in zip(TOPICS, logits, strict=True) if logit < soft @ logits]
# +gaining = [topic for k, topic in enumerate(TOPICS) if k != logits.argmax()]
