"""Writes p - q where q - p belongs.

caught: gradient_value
says: the sign of the soft part
"""

# %% gradient
import torch
import torch.nn.functional as F


def loss_gradient(student_logits, teacher_logits, labels, temperature, alpha):
    p = torch.softmax(teacher_logits / temperature, dim=-1)
    q = torch.softmax(student_logits / temperature, dim=-1)
    target = F.one_hot(labels.clamp(min=0), student_logits.shape[-1])
    hard = (torch.softmax(student_logits, dim=-1) - target) * (labels >= 0).unsqueeze(-1)
    return ((1 - alpha) * hard + alpha * temperature * (p - q)) / len(labels)
