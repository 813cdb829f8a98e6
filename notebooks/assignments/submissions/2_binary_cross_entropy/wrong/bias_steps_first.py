"""Updates the bias first and computes the weights' gradient with the new bias.

caught: descent_steps
says: wrong weights after one step
"""


# %% descent
def fit(inputs, targets, learning_rate, steps):
    weights, bias = torch.zeros(inputs.shape[1], dtype=inputs.dtype), torch.zeros((), dtype=inputs.dtype)
    for _ in range(steps):
        bias = bias - learning_rate * (torch.sigmoid(inputs @ weights + bias) - targets).mean()
        weights = weights - learning_rate * (inputs.T @ (torch.sigmoid(inputs @ weights + bias) - targets)) / len(targets)
    return weights, bias
