"""Saves a new dictionary with the old tensors in it, which go on changing.

caught: train_test
says: does a saved tensor stay as it was
"""

# %% in loop
# -        states.append({name: value.clone() for name, value in student.state_dict().items()})
# +        states.append(dict(student.state_dict()))
