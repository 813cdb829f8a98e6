"""Averages the accuracies of the batches, though the last batch is smaller.

caught: evaluate_test
says: small last batch
"""

# %% in loop
# -            right = [(student(ids).argmax(-1) == labels).float() for ids, labels in pairs]
# -            accuracy[name].append(torch.cat(right).mean().item())
# +            right = [(student(ids).argmax(-1) == labels).float().mean() for ids, labels in pairs]
# +            accuracy[name].append((sum(right) / len(right)).item())
