"""Computes the error once before the loop, so that every step repeats the first: right for the one step that is shown.

caught: descent_steps
says: numbers of steps
"""


# %% descent
def fit(inputs, targets, learning_rate, steps):
    weights, bias = torch.zeros(inputs.shape[1], dtype=inputs.dtype), torch.zeros((), dtype=inputs.dtype)
    error = (torch.sigmoid(inputs @ weights + bias) - targets) / len(targets)
    for _ in range(steps):
        weights, bias = weights - learning_rate * (inputs.T @ error), bias - learning_rate * error.sum()
    return weights, bias
