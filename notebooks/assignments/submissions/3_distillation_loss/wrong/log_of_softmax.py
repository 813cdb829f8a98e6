"""Takes the logarithm of a softmax, which is 0 for small shares.

caught: soft_extreme
says: a probability became 0
"""

# %% soft
import torch


def soft_loss(student_logits, teacher_logits, temperature):
    p = torch.softmax(teacher_logits / temperature, dim=-1)
    q = torch.softmax(student_logits / temperature, dim=-1)
    return temperature**2 * (p * (p.log() - q.log())).sum(-1).mean()
