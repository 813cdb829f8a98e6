"""Multiplies the whole loss with T², the hard term too.

caught: loss_test
says: alpha = 0: only the plain cross-entropy
"""

# %% in loop
# -    soft = temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1)
# +    soft = (log_p.exp() * (log_p - log_q)).sum(-1)
#      hard = F.cross_entropy(student_logits, labels, ignore_index=-1, reduction="none")
# -    return ((1 - alpha) * hard + alpha * soft).mean()
# +    return temperature**2 * ((1 - alpha) * hard + alpha * soft).mean()
