"""Copies the diagnosis of a student with another version.

caught: curves_test, accuracies_test
says: does not stand at its run
"""

# %% diagnosis
diagnosis = {"A": "other_texts", "B": "sound", "C": "adds_up", "D": "one_state", "E": "train_mode", "F": "cleared"}
