"""Chooses the epoch on the validation texts, and yet reports the best test accuracy of all epochs.

caught: evaluate_test
says: what part may the test texts have
"""

# %% in loop
# -    return {"validation_accuracy": accuracy["validation"], "chosen_epoch": chosen, "test_accuracy": accuracy["test"][chosen]}
# +    return {"validation_accuracy": accuracy["validation"], "chosen_epoch": chosen, "test_accuracy": max(accuracy["test"])}
