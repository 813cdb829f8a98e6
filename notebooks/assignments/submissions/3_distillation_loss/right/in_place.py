"""Changes its arguments in place, in float32, with logsumexp and einsum."""

# %% soft
import torch


def soft_loss(student_logits, teacher_logits, temperature):
    z, v = student_logits.div_(temperature), teacher_logits.div_(temperature)
    z -= z.logsumexp(-1, keepdim=True)
    v -= v.logsumexp(-1, keepdim=True)
    return temperature**2 * torch.einsum("nk,nk->", v.exp(), v - z) / z.size(0)


# %% full
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    z, known = student_logits.float(), labels >= 0
    total = (z.logsumexp(-1)[known] - z[known, labels[known]]).sum() * (1 - alpha)
    p = torch.softmax(teacher_logits.float() / temperature, -1)
    log_q = z / temperature - (z / temperature).logsumexp(-1, keepdim=True)
    for row, log_row in zip(p, log_q, strict=True):
        total += alpha * temperature**2 * (torch.special.xlogy(row, row).sum() - row @ log_row)
    return total / len(z)


# %% tokens
def token_loss(student_logits, teacher_logits, attention_mask, temperature):
    places = torch.nonzero(attention_mask.flatten()).squeeze(-1)
    z = student_logits.flatten(0, 1).index_select(0, places).float().div_(temperature).log_softmax(-1)
    v = teacher_logits.flatten(0, 1).index_select(0, places).float().div_(temperature).log_softmax(-1)
    each = torch.einsum("nk,nk->n", v.exp(), v - z) * temperature**2
    return each.mean() if each.numel() else torch.zeros(())


# %% limit
def limit_loss(student_logits, teacher_logits):
    student_logits -= student_logits.mean(-1, keepdim=True)
    teacher_logits -= teacher_logits.mean(-1, keepdim=True)
    return torch.nn.functional.mse_loss(student_logits, teacher_logits).item() / 2
