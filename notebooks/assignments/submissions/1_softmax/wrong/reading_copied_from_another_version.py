"""Types the numbers of a friend, whose version has other logits, another temperature and another share.

caught: reading_shares, reading_doubt, reading_gaining
says: at the temperature of your version
"""

# %% reading
ratio = 1.14
others = 0.62
bits = 2.02
even_temperature = 2.11
gaining = ["hotel", "restaurant", "book"]
