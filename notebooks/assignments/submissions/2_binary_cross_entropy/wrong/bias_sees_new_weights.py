"""Updates the weights first and computes the bias's gradient with the new weights.

caught: descent_steps
says: wrong bias after one step
"""


# %% descent
def fit(inputs, targets, learning_rate, steps):
    weights, bias = torch.zeros(inputs.shape[1], dtype=inputs.dtype), torch.zeros((), dtype=inputs.dtype)
    for _ in range(steps):
        weights = weights - learning_rate * (inputs.T @ (torch.sigmoid(inputs @ weights + bias) - targets)) / len(targets)
        bias = bias - learning_rate * (torch.sigmoid(inputs @ weights + bias) - targets).mean()
    return weights, bias
