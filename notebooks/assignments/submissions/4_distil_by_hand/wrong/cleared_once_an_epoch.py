"""Sets the gradients to zero, but once an epoch and not in every step.

caught: train_test
says: the third is wrong
"""

# %% in loop
#      for epoch in range(settings["epochs"]):
# +        optimiser.zero_grad()
#
# -            optimiser.zero_grad()
