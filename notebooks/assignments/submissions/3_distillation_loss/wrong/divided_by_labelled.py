"""Takes cross_entropy's own mean, which divides by the labelled rows alone.

caught: full_unlabelled
says: by how many rows do you divide it
"""

# %% full
import torch
import torch.nn.functional as F


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    p = torch.softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits / temperature, dim=-1)
    soft = temperature**2 * F.kl_div(log_q, p, reduction="batchmean")
    if (labels < 0).all():
        return alpha * soft
    hard = F.cross_entropy(student_logits, torch.where(labels < 0, -100, labels))
    return (1 - alpha) * hard + alpha * soft
