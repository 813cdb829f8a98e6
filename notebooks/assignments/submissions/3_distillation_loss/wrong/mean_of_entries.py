"""Takes reduction='mean' of kl_div, which divides by the number of classes too.

caught: soft_value, soft_extreme
says: do you sum over the classes
"""

# %% soft
import torch
import torch.nn.functional as F


def soft_loss(student_logits, teacher_logits, temperature):
    log_p = torch.log_softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits / temperature, dim=-1)
    return temperature**2 * F.kl_div(log_q, log_p, log_target=True, reduction="none").mean()
