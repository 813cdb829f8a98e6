"""Keeps an epoch that is as good as the best one so far, so that the last of the best is chosen.

caught: evaluate_test
says: first of the best
"""

# %% in loop
# -    chosen = max(range(len(states)), key=lambda epoch: accuracy["validation"][epoch])
# +    chosen = 0
# +    for epoch, share in enumerate(accuracy["validation"]):
# +        if share >= accuracy["validation"][chosen]:
# +            chosen = epoch
