"""Indexes with the label -1, which picks the last class.

caught: full_unlabelled
says: what does your hard term count
"""

# %% full
import torch
import torch.nn.functional as F


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    p = torch.softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits / temperature, dim=-1)
    soft = temperature**2 * F.kl_div(log_q, p, reduction="batchmean")
    hard = -torch.log_softmax(student_logits, dim=-1)[torch.arange(len(labels)), labels].mean()
    return (1 - alpha) * hard + alpha * soft
