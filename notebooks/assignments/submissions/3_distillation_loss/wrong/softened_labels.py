"""Divides the student's logits by the temperature in the hard term too.

caught: full_labelled, full_unlabelled
says: wrong for a copy of the teacher
"""

# %% full
import torch
import torch.nn.functional as F


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    student, teacher = student_logits / temperature, teacher_logits / temperature
    soft = temperature**2 * F.kl_div(torch.log_softmax(student, -1), torch.softmax(teacher, -1), reduction="batchmean")
    targets = torch.where(labels >= 0, labels, -100)
    hard = F.cross_entropy(student, targets, reduction="sum") / len(labels)
    return (1 - alpha) * hard + alpha * soft
