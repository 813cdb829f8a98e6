"""Takes the difference of the logits the wrong way round.

caught: pair_losses, pair_gradients
says: which difference is the logit
"""


# %% pair
def single_logit(logits):
    other = 1 - variant["positive_column"]
    return logits[:, other] - logits[:, 1 - other]


def pair_loss(logits, soft_targets):
    return bce(single_logit(logits), soft_targets).mean()


def pair_gradient(logits, soft_targets):
    error = (torch.sigmoid(single_logit(logits)) - soft_targets) / len(logits)
    return torch.stack([-error, error] if variant["positive_column"] == 1 else [error, -error], -1)
