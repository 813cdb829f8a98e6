"""Inserts a huge temperature into the soft loss: what comes out is rounding.

caught: limit_value
says: is your value rounding
"""

# %% limit
import torch


def limit_loss(student_logits, teacher_logits):
    temperature = 1e9
    log_p = torch.log_softmax(teacher_logits.double() / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits.double() / temperature, dim=-1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()
