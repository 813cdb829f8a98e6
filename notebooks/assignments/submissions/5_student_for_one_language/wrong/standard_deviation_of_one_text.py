"""Takes the standard deviation over texts for the standard error of their mean.

caught: paired, claims_test
says: how far does a single text scatter
"""


# %% intervals
def accuracy_interval(correct):
    n, p, z = len(correct), float(correct.double().mean()), 1.96
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return middle - half, middle + half


def paired_interval(correct_a, correct_b, seed):
    d = correct_a.double() - correct_b.double()
    half = 1.96 * float(d.std())
    return float(d.mean()), float(d.mean()) - half, float(d.mean()) + half
