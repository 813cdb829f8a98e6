"""Softens the teacher but not the student.

caught: soft_value
says: which distributions do you compare
"""

# %% soft
import torch
import torch.nn.functional as F


def soft_loss(student_logits, teacher_logits, temperature):
    p = torch.softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits, dim=-1)
    return temperature**2 * F.kl_div(log_q, p, reduction="batchmean")
