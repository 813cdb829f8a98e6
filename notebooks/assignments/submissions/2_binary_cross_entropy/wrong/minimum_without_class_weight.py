"""Puts the minimum where σ(z) equals the soft label, as without a class weight.

caught: lowest_loss
says: is the class weight in it
"""

# %% lowest
best_logit = math.log(variant["soft_label"] / (1 - variant["soft_label"]))
floor = mean_loss(torch.tensor([best_logit]), torch.tensor([variant["soft_label"]]), variant["class_weight"])
