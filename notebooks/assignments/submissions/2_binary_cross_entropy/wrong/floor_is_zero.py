"""Believes that a loss is 0 at its minimum.

caught: lowest_loss
says: floor is not the weighted loss
"""

# %% lowest
best_logit = math.log(variant["class_weight"] * variant["soft_label"] / (1 - variant["soft_label"]))
floor = 0.0
