"""Gives both logits of a text the gradient of the one logit, without the sign of the chain rule.

caught: pair_gradients
says: do not sum to 0
"""


# %% pair
def single_logit(logits):
    return logits[:, variant["positive_column"]] - logits[:, 1 - variant["positive_column"]]


def pair_loss(logits, soft_targets):
    return bce(single_logit(logits), soft_targets).mean()


def pair_gradient(logits, soft_targets):
    error = (torch.sigmoid(single_logit(logits)) - soft_targets) / len(logits)
    return error[:, None].expand(-1, 2)
