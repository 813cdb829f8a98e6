"""Copies the five counts from somebody who has another client.

caught: found_counts
says: not as in the table of your client
"""
# %% found
found = {"respelled": 17, "empty": 2, "foreign": 5, "copies": 13, "contradictions": 4}
