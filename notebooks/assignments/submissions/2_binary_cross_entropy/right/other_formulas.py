"""Other formulas: two softplus terms, a collected gradient, a column of ones, minima by search and descent."""


# %% bce
def softplus(x):
    return torch.where(x > 0, x, torch.zeros_like(x)) + torch.log1p(torch.exp(-torch.abs(x)))


def bce(logits, targets):
    return targets * softplus(-logits) + (1 - targets) * softplus(logits)


# %% gradient
def gradient(logits, targets, weight):
    scale = 1 + (weight - 1) * targets
    return (scale * torch.sigmoid(logits) - weight * targets) / torch.tensor(logits.shape).prod()


# %% lowest
low, high = -20.0, 20.0
for _ in range(60):
    middle = (low + high) / 2
    slope = gradient(torch.tensor([middle]).double(), torch.tensor([variant["soft_label"]]).double(), variant["class_weight"])
    low, high = (low, middle) if slope > 0 else (middle, high)
best_logit = torch.tensor(low, dtype=torch.float64)
floor = mean_loss(best_logit, torch.tensor(variant["soft_label"]), variant["class_weight"])


# %% numeric
def numeric_gradient(logits, targets, weight, step):
    z = logits.double().flatten()
    shifts = step * torch.eye(len(z), dtype=torch.float64)
    y = targets.flatten()
    slopes = [(mean_loss(z + shift, y, weight) - mean_loss(z - shift, y, weight)) / (2 * step) for shift in shifts]
    return torch.stack(slopes).reshape(logits.shape)


# %% masked
def masked_bce(logits, targets, mask):
    harmless = torch.where(mask == 1, targets, torch.full_like(targets, 0.5))
    return torch.einsum("nk,nk->", bce(logits, harmless), mask.to(logits.dtype)) / max(int(mask.sum()), 1)


# %% pair
direction = torch.tensor([-1.0, 1.0] if variant["positive_column"] == 1 else [1.0, -1.0], dtype=torch.float64)


def pair_loss(logits, soft_targets):
    return bce(logits.double() @ direction, soft_targets).sum() / len(soft_targets)


def pair_gradient(logits, soft_targets):
    return torch.outer(gradient(logits.double() @ direction, soft_targets, 1.0), direction)


# %% descent
def fit(inputs, targets, learning_rate, steps):
    table = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=inputs.dtype)], 1)
    parameters = torch.zeros(table.shape[1], dtype=inputs.dtype)
    for _ in range(steps):
        parameters -= learning_rate * torch.einsum("nd,n->d", table, gradient(table @ parameters, targets, 1.0))
    return parameters[:-1], parameters[-1].item()


# %% minimum
given_inputs, given_targets = (torch.tensor(variant[key], dtype=torch.float64) for key in ("inputs", "teacher"))
found = fit(given_inputs[:, None], given_targets, 0.5, 2000)
best_weight, best_bias = float(found[0]), found[1]
