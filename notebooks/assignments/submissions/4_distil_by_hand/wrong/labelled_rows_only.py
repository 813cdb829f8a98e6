"""Takes the hard term as a mean over the labelled rows, not over all.

caught: loss_test, train_test
says: labels are missing
"""

# %% in loop
# -    hard = F.cross_entropy(student_logits, labels, ignore_index=-1, reduction="none")
# -    return ((1 - alpha) * hard + alpha * soft).mean()
# +    hard = F.cross_entropy(student_logits, labels, ignore_index=-1)
# +    return (1 - alpha) * hard + alpha * soft.mean()
