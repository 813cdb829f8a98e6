"""Computes both divergences at T = 1, and takes the formula of the exercise, where the weights are the other way round.

caught: directions, inherited
says: these are the divergences at T = 1
"""

# %% numbers
import torch

log_p = torch.log_softmax(torch.tensor(variant["teacher_logits"]), dim=-1)
log_q = torch.log_softmax(torch.tensor(variant["student_logits"]), dim=-1)
forward_kl = float((log_p.exp() * (log_p - log_q)).sum())
reverse_kl = float((log_q.exp() * (log_q - log_p)).sum())
soft = variant["alpha"] / variant["temperature"] ** 2
kit_alpha = soft / (1 - variant["alpha"] + soft)
