"""Gives alpha to the labels, as some papers do.

caught: full_labelled, full_unlabelled
says: look at weight and temperature
"""

# %% full
import torch
import torch.nn.functional as F


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    p = torch.softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits / temperature, dim=-1)
    soft = temperature**2 * F.kl_div(log_q, p, reduction="batchmean")
    targets = torch.where(labels >= 0, labels, -100)
    hard = F.cross_entropy(student_logits, targets, reduction="sum") / len(labels)
    return alpha * hard + (1 - alpha) * soft
