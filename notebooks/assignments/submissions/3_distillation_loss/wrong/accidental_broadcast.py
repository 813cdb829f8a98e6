"""Forgets to squeeze after gather: [N, 1] with [N] becomes [N, N].

caught: full_unlabelled
says: print the shape
"""

# %% full
import torch


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    log_p = torch.log_softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits / temperature, dim=-1)
    soft = temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1)
    at_label = torch.log_softmax(student_logits, dim=-1).gather(-1, labels.clamp(min=0).unsqueeze(-1))
    hard = torch.where(labels >= 0, -at_label, 0.0)
    return ((1 - alpha) * hard + alpha * soft).mean()
