"""Writes down the numbers of another student's version.

caught: directions, inherited
says: not those of your version
"""

# %% numbers
forward_kl = 0.3391
reverse_kl = 0.2054
kit_alpha = 0.1234
