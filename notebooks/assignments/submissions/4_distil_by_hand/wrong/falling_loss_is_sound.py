"""Takes the run whose student is evaluated in train mode for the sound one, since its loss falls.

caught: accuracies_test
says: compare the two lines
"""

# %% diagnosis
diagnosis = {"A": "adds_up", "B": "one_state", "C": "sound", "D": "other_texts", "E": "cleared", "F": "train_mode"}
