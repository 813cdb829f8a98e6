"""Forgets the inner derivative 1/T, so that T² is left in place of T.

caught: gradient_value
says: count the factors T
"""

# %% gradient
import torch
import torch.nn.functional as F


def loss_gradient(student_logits, teacher_logits, labels, temperature, alpha):
    p = torch.softmax(teacher_logits / temperature, dim=-1)
    q = torch.softmax(student_logits / temperature, dim=-1)
    target = F.one_hot(labels.clamp(min=0), student_logits.shape[-1])
    hard = (torch.softmax(student_logits, dim=-1) - target) * (labels >= 0).unsqueeze(-1)
    return ((1 - alpha) * hard + alpha * temperature**2 * (q - p)) / len(labels)
