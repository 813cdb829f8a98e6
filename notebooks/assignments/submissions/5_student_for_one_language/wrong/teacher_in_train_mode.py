"""Lets the teacher answer as it was found, in train mode: dropout makes its logits random.

caught: teacher_answers, first_steps
says: what is random in it
"""


# %% answers
@torch.no_grad()
def answers(texts):
    parts = []
    for first in range(0, len(texts), 32):
        tokens = tokenizer(texts[first : first + 32], truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
        parts.append(teacher(**tokens).logits)
    return torch.cat(parts)


teacher_logits = answers(texts)
