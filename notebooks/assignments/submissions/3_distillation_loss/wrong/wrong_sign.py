"""Subtracts the logarithms the wrong way round, so that the divergence is negative.

caught: soft_value, soft_extreme
says: look at the sign
"""

# %% soft
import torch


def soft_loss(student_logits, teacher_logits, temperature):
    log_p = torch.log_softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits / temperature, dim=-1)
    return temperature**2 * (log_p.exp() * (log_q - log_p)).sum(-1).mean()
