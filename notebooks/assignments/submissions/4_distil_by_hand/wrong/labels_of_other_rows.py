"""Takes the teacher's logits of the batch's rows, but the labels in the order of the data.

caught: train_test
says: the very first loss is wrong
"""

# %% in loop
# -            loss = distillation_loss(logits, teacher_logits[rows], labels[rows], settings["temperature"], settings["alpha"])
# +            loss = distillation_loss(
# +                logits, teacher_logits[rows], labels[: len(rows)], settings["temperature"], settings["alpha"]
# +            )
