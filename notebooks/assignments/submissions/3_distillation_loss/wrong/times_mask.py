"""Multiplies by the mask after the softmax: 0 times nan is nan.

caught: token_poison
says: what is 0 times nan
"""

# %% tokens
import torch


def token_loss(student_logits, teacher_logits, attention_mask, temperature):
    mask = attention_mask.float()
    log_p = torch.log_softmax(teacher_logits / temperature, dim=-1)
    log_q = torch.log_softmax(student_logits / temperature, dim=-1)
    each = temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1)
    return (each * mask).sum() / mask.sum().clamp(min=1)
