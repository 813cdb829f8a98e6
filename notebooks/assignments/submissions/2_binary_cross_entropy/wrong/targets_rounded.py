"""Rounds the teacher's soft targets to labels before training.

caught: descent_steps
says: soft targets as they are
"""


# %% descent
def fit(inputs, targets, learning_rate, steps):
    labels = (targets > 0.5).to(inputs.dtype)
    weights, bias = torch.zeros(inputs.shape[1], dtype=inputs.dtype), torch.zeros((), dtype=inputs.dtype)
    for _ in range(steps):
        error = (torch.sigmoid(inputs @ weights + bias) - labels) / len(labels)
        weights, bias = weights - learning_rate * (inputs.T @ error), bias - learning_rate * error.sum()
    return weights, bias
