"""Puts the number of validation texts into every interval.

caught: interval, claims_test
says: whose n stands in the formula
"""


# %% intervals
def accuracy_interval(correct):
    n, p, z = len(validation_labels), float(correct.double().mean()), 1.96
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return middle - half, middle + half


def paired_interval(correct_a, correct_b, seed):
    d, random = correct_a.numpy().astype(float) - correct_b.numpy().astype(float), np.random.default_rng(seed)
    means = [random.choice(d, len(d)).mean() for _ in range(2000)]
    return d.mean(), *np.quantile(means, [0.025, 0.975])
