"""Never looks at the mask.

caught: token_mean, token_poison
says: padding is counted
"""

# %% tokens
import torch


def token_loss(student_logits, teacher_logits, attention_mask, temperature):
    log_p = torch.log_softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits / temperature, dim=-1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()
