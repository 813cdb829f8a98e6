"""Takes the mean of each sentence first, then the mean of the sentences.

caught: token_mean
says: a token in a short sentence weighs more
"""

# %% tokens
import torch


def token_loss(student_logits, teacher_logits, attention_mask, temperature):
    real = attention_mask.bool()
    student = torch.where(real.unsqueeze(-1), student_logits, 0.0) / temperature
    teacher = torch.where(real.unsqueeze(-1), teacher_logits, 0.0) / temperature
    log_p, log_q = torch.log_softmax(teacher, dim=-1), torch.log_softmax(student, dim=-1)
    each = temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1)
    of_sentence = each.sum(-1) / real.sum(-1).clamp(min=1)
    return of_sentence[real.any(-1)].mean() if real.any() else of_sentence.sum()
