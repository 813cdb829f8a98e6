"""Forgets the factor T².

caught: soft_value
says: the factor that keeps the gradient at its size
"""

# %% soft
import torch


def soft_loss(student_logits, teacher_logits, temperature):
    log_p = torch.log_softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits / temperature, dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()
