"""Draws the line through the teacher's probabilities in place of their log-odds.

caught: minimum_reached
says: which logit makes
"""

# %% minimum
(x_1, x_2), (q_1, q_2) = variant["inputs"], variant["teacher"]
best_weight = (q_2 - q_1) / (x_2 - x_1)
best_bias = q_1 - best_weight * x_1
