"""Hands kl_div its arguments in the order in which KL(p, q) is written.

caught: soft_value, soft_extreme
says: the other way round
"""

# %% soft
import torch
import torch.nn.functional as F


def soft_loss(student_logits, teacher_logits, temperature):
    log_p = torch.log_softmax(teacher_logits / temperature, dim=-1)
    q = torch.softmax(student_logits / temperature, dim=-1)
    return temperature**2 * F.kl_div(log_p, q, reduction="batchmean")
