"""Collects the sorted batches and puts them back with the order in place of its inverse.

caught: teacher_test
says: not beside their own texts
"""

# %% in loop
# -    teacher_logits = torch.zeros(len(ids), len(weights["bias"]))
# +    parts = []
#
# -            teacher_logits[rows] = teacher(batch, attention_mask=(batch != PAD).long())
# -    return teacher_logits
# +            parts.append(teacher(batch, attention_mask=(batch != PAD).long()))
# +    return torch.cat(parts)[order]
