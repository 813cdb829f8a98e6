"""Passes the teacher an attention mask, but one that is 1 at the padding too.

caught: teacher_test
says: what does a text meet there
"""

# %% in loop
# -            teacher_logits[rows] = teacher(batch, attention_mask=(batch != PAD).long())
# +            teacher_logits[rows] = teacher(batch, attention_mask=torch.ones_like(batch))
