"""Makes the teacher's dropout repeatable with a seed in place of turning it off.

caught: teacher_test
says: wrong even for one text at a time
"""

# %% in loop
# -    teacher = Teacher(weights).eval()
# +    torch.manual_seed(0)
# +    teacher = Teacher(weights)
