"""Uses PyTorch's own losses, NaN-safe sums, a mask by torch.where, variances and odds."""

# %% soft
import torch
import torch.nn.functional as F


def soft_loss(student_logits, teacher_logits, temperature):
    log_q = F.log_softmax(student_logits / temperature, -1)
    return F.kl_div(log_q, F.softmax(teacher_logits / temperature, -1), reduction="batchmean") * temperature**2


# %% full
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    targets = torch.where(labels < 0, -100, labels)
    hard = F.cross_entropy(student_logits, targets, ignore_index=-100, reduction="none").mean()
    return torch.lerp(hard, soft_loss(student_logits, teacher_logits, temperature), alpha)


# %% tokens
def token_loss(student_logits, teacher_logits, attention_mask, temperature):
    keep = attention_mask.unsqueeze(-1) != 0
    student, teacher = (torch.where(keep, logits, torch.zeros_like(logits)) for logits in (student_logits, teacher_logits))
    log_p, log_q = F.log_softmax(teacher / temperature, -1), F.log_softmax(student / temperature, -1)
    total = F.kl_div(log_q, log_p, log_target=True, reduction="sum") * temperature**2
    return total / keep.sum().clamp(min=1)


# %% gradient
def loss_gradient(student_logits, teacher_logits, labels, temperature, alpha):
    slope = torch.softmax(student_logits, -1)
    known = torch.nonzero(labels >= 0).squeeze(-1)
    slope[known, labels[known]] -= 1
    slope[labels < 0] = 0
    soft = torch.softmax(student_logits / temperature, -1) - torch.softmax(teacher_logits / temperature, -1)
    return torch.lerp(slope, temperature * soft, alpha) / student_logits.shape[0]


# %% limit
def limit_loss(student_logits, teacher_logits):
    return 0.5 * (student_logits - teacher_logits).var(-1, correction=0).mean()


# %% numbers
p, q = (torch.softmax(torch.tensor(variant[name]) / variant["temperature"], -1) for name in ("teacher_logits", "student_logits"))
forward_kl, reverse_kl = F.kl_div(q.log(), p, reduction="sum"), F.kl_div(p.log(), q, reduction="sum")
odds = (1 - variant["alpha"]) / variant["alpha"] / variant["temperature"] ** 2
kit_alpha = round(odds / (1 + odds), 4)
