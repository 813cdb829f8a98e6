"""NumPy, explicit loops and Python numbers; answers come back as arrays and floats."""


# %% bce
def bce(logits, targets):
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    return torch.from_numpy(y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z))


# %% gradient
def gradient(logits, targets, weight):
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    to_positive, to_negative = np.exp(-np.logaddexp(0, -z)), np.exp(-np.logaddexp(0, z))
    return ((1 - y) * to_positive - weight * y * to_negative) / z.size


# %% numeric
def numeric_gradient(logits, targets, weight, step):
    z, y = logits.double().numpy().copy(), targets.double().numpy()

    def loss():
        return float(mean_loss(torch.from_numpy(z), torch.from_numpy(y), weight))

    slopes = np.zeros_like(z)
    for place in np.ndindex(z.shape):
        before = z[place]
        z[place] = before + step
        above = loss()
        z[place] = before - step
        slopes[place] = (above - loss()) / (2 * step)
        z[place] = before
    return slopes


# %% masked
def masked_bce(logits, targets, mask):
    total, count = 0.0, 0
    for z, y, known in zip(logits.flatten(), targets.flatten(), mask.flatten()):
        if known == 1:
            total += float(max(z, 0) - z * y + math.log1p(math.exp(-abs(z))))
            count += 1
    return total / count if count else 0.0


# %% pair
def pair_loss(logits, soft_targets):
    total = 0.0
    for row, q in zip(logits.tolist(), soft_targets.tolist()):
        z = row[variant["positive_column"]] - row[1 - variant["positive_column"]]
        total += max(z, 0) - z * q + math.log1p(math.exp(-abs(z)))
    return total / len(logits)


def pair_gradient(logits, soft_targets):
    result = np.zeros((len(logits), 2))
    for i, (row, q) in enumerate(zip(logits.tolist(), soft_targets.tolist())):
        here, there = variant["positive_column"], 1 - variant["positive_column"]
        result[i, here] = (1 / (1 + math.exp(row[there] - row[here])) - q) / len(logits)
        result[i, there] = -result[i, here]
    return result


# %% descent
def fit(inputs, targets, learning_rate, steps):
    x, y = inputs.numpy(), targets.numpy()
    weights, bias = np.zeros(x.shape[1]), 0.0
    for _ in range(steps):
        error = 1 / (1 + np.exp(-(x @ weights + bias))) - y
        weights, bias = weights - learning_rate * x.T @ error / len(y), bias - learning_rate * error.mean()
    return weights, bias
