"""Works in place on its arguments, keeps helpers in a cell of its own, and solves for the minimum as a linear system."""


# %% helpers
def sigma(z):
    return 0.5 * (1 + torch.tanh(z / 2))


# %% bce
def bce(logits, targets):
    tail = logits.abs().neg_().exp_().log1p_()
    cost = logits * targets
    return logits.clamp_(min=0).sub_(cost).add_(tail)


# %% gradient
def gradient(logits, targets, weight):
    result = sigma(logits)
    result.mul_(targets * (weight - 1) + 1).sub_(weight * targets)
    return result.div_(logits.nelement())


# %% masked
def masked_bce(logits, targets, mask):
    chosen = torch.masked_select(logits, mask == 1), torch.masked_select(targets, mask == 1)
    return bce(*chosen).sum().item() / max(chosen[0].numel(), 1)


# %% minimum
table = np.column_stack([variant["inputs"], [1.0, 1.0]])
best_weight, best_bias = np.linalg.solve(table, -np.log(1 / np.array(variant["teacher"]) - 1))

# %% [markdown] claim
# Wrong: the quotient is the derivative by the probability p.
# dℓ/dz = dℓ/dp · dp/dz = (p − y)/(p(1 − p)) · p(1 − p) = p − y.
# At z = −6 the quotient is in the hundreds, p − y is smaller than 1 in size: nothing has to be clipped.
