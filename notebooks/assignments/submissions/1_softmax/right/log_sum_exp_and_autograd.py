"""Uses the log-sum-exp formula throughout, Newton's method in log T for the temperature, and autograd for the slope."""


# %% helper
def log_sum_exp(values):
    """log of the sum of exp over the last axis, kept as an axis."""
    largest = values.max(-1, keepdim=True).values
    return largest + (values - largest).exp().sum(-1, keepdim=True).log()


# %% softmax
def softmax(logits, temperature):
    """Probabilities over the last axis, at this temperature."""
    scaled = logits / temperature
    return torch.exp(scaled - log_sum_exp(scaled))


# %% log_softmax
def log_softmax(logits, temperature):
    """Logarithms of the probabilities over the last axis, at this temperature."""
    scaled = logits / temperature
    return scaled - log_sum_exp(scaled)


# %% entropy
def entropy(probabilities, unit="nats"):
    """Entropy of each distribution over the last axis, in nats or in bits."""
    terms = torch.where(probabilities > 0, probabilities * torch.log2(probabilities), torch.zeros_like(probabilities))
    bits = -terms.sum(dim=-1)
    return bits if unit == "bits" else bits * math.log(2)


# %% temperature_for
def temperature_for(logits, share):
    """The temperature at which the softmax has this share of the largest possible entropy."""
    size = logits.max() - logits.min()
    lowest = math.log(int((logits == logits.max()).sum()))
    wanted = share * math.log(logits.numel())
    if wanted <= lowest or wanted >= math.log(logits.numel()) or size == 0:
        raise ValueError("no such temperature")
    z, low, high, u = (logits - logits.max()) / size, -20.0, 20.0, 0.0
    for _ in range(200):  # Newton's step where it stays between the bounds, else halve them; dH / d log T = Var / T²
        p = torch.softmax(z / math.exp(u), -1)
        excess = float(torch.distributions.Categorical(probs=p).entropy()) - wanted
        low, high = (low, u) if excess > 0 else (u, high)
        rise = float((p * z**2).sum() - (p * z).sum() ** 2) / math.exp(2 * u)
        step = u - excess / rise if rise > 0 else math.inf
        u = step if low < step < high else (low + high) / 2
    return size * math.exp(u)


# %% softmax_slope
def softmax_slope(logits, temperature):
    """The derivative of each probability with respect to the temperature."""
    t = torch.full_like(logits, temperature).requires_grad_()  # a temperature of its own for each logit
    total = torch.zeros_like(logits)
    for k in range(logits.shape[-1]):
        share = torch.softmax(logits / t, -1)[..., k].sum()
        total[..., k] = torch.autograd.grad(share, t)[0].sum(-1)
    return total


# %% reading
z = torch.tensor(variant["logits"], dtype=torch.float64)
logs = log_softmax(z, variant["temperature"])
best = int(logs.argmax())
rest = torch.cat([logs[:best], logs[best + 1 :]])
ratio = float(torch.exp(logs[best] - rest.max()))
others = rest.exp().sum()
bits = entropy(logs.exp(), unit="bits")
even_temperature = temperature_for(z, variant["share"])
gaining = [TOPICS[k] for k in (softmax_slope(z, variant["temperature"]) > 0).nonzero().flatten().tolist()]

# %% [markdown] ranking
# The colleague is right about the order. If z_i > z_j, then z_i / T > z_j / T for every T > 0, and exp is increasing.
# A target is more than an order, though: a label does not say how close the second topic is.
