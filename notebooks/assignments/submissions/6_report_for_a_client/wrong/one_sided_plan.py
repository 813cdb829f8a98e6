"""Takes the one-sided quantile of the level, which asks for too few texts.

caught: planning
says: are needed
"""
# %% plan
def texts_needed(gain, disagreement):
    return math.ceil((quantile(variant["level"]) + quantile(0.8)) ** 2 * disagreement / gain**2)
