"""Sets padding to 0 but divides by all B · S positions.

caught: token_mean, token_poison
says: what do you divide by
"""

# %% tokens
import torch


def token_loss(student_logits, teacher_logits, attention_mask, temperature):
    real = attention_mask.bool().unsqueeze(-1)
    log_p = torch.log_softmax(torch.where(real, teacher_logits, 0.0) / temperature, dim=-1)
    log_q = torch.log_softmax(torch.where(real, student_logits, 0.0) / temperature, dim=-1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()
