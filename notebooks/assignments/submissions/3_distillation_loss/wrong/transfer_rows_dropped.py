"""Leaves the rows without label out of both terms.

caught: full_unlabelled
says: left out of the soft term too
"""

# %% full
import torch
import torch.nn.functional as F


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    known = labels >= 0
    if not known.any():
        return torch.tensor(0.0)
    student, teacher = student_logits[known], teacher_logits[known]
    log_q = torch.log_softmax(student / temperature, dim=-1)
    soft = temperature**2 * F.kl_div(log_q, torch.softmax(teacher / temperature, dim=-1), reduction="batchmean")
    return (1 - alpha) * F.cross_entropy(student, labels[known]) + alpha * soft
