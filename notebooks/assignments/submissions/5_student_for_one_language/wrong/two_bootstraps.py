"""Draws the texts anew for each of the two models, as if they had answered different ones.

caught: paired
says: does every draw take the same texts for both
"""


# %% intervals
def accuracy_interval(correct):
    n, p, z = len(correct), float(correct.double().mean()), 1.96
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return middle - half, middle + half


def paired_interval(correct_a, correct_b, seed):
    a, b, random = correct_a.numpy().astype(float), correct_b.numpy().astype(float), np.random.default_rng(seed)
    gaps = [random.choice(a, len(a)).mean() - random.choice(b, len(b)).mean() for _ in range(2000)]
    return float(a.mean() - b.mean()), float(np.quantile(gaps, 0.025)), float(np.quantile(gaps, 0.975))
