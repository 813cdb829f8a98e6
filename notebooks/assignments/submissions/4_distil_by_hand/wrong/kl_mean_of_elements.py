"""Mends the soft term with kl_div and reduction 'mean', which divides by the number of classes too.

caught: loss_test, train_test
says: the soft term is wrong
"""

# %% in loop
# -    soft = temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1)
# +    soft = temperature**2 * F.kl_div(log_q, log_p, log_target=True, reduction="mean")
