"""Changes the logits that it is given in place, sums with einsum and solves for beta = 1 / T by halving."""


# %% softmax
def softmax(logits, temperature):
    """Probabilities over the last axis, at this temperature."""
    logits /= temperature
    logits -= logits.max(dim=-1, keepdim=True)[0]
    logits.exp_()
    logits /= torch.einsum("...k->...", logits).unsqueeze(-1)
    return logits


# %% log_softmax
def log_softmax(logits, temperature):
    """Logarithms of the probabilities over the last axis, at this temperature."""
    logits /= temperature
    logits -= logits.max(dim=-1, keepdim=True)[0]
    return logits.sub_(torch.einsum("...k->...", logits.exp()).log().unsqueeze(-1))


# %% entropy
def entropy(probabilities, unit="nats"):
    """Entropy of each distribution over the last axis, in nats or in bits."""
    logarithms = probabilities.clamp(min=1e-300).log()  # a class with probability 0 counts 0 times a finite number
    return -torch.einsum("...k,...k->...", probabilities, logarithms) / (math.log(2) if unit == "bits" else 1)


# %% temperature_for
def temperature_for(logits, share):
    """The temperature at which the softmax has this share of the largest possible entropy."""
    logits = logits - logits.mean()
    scale = logits.abs().max()
    if scale == 0 or not 0 < share < 1:
        raise ValueError("no temperature")
    low, high = 0.0, 1e5  # of beta, for logits of size 1
    wanted = share * math.log(len(logits))
    if entropy(torch.softmax(logits / scale * high, -1)) > wanted:
        raise ValueError("no temperature")
    while high - low > 1e-12 * high:
        beta = 0.5 * (low + high)
        if entropy(torch.softmax(logits / scale * beta, -1)) > wanted:
            low = beta
        else:
            high = beta
    return float(scale / beta)


# %% softmax_slope
def softmax_slope(logits, temperature):
    """The derivative of each probability with respect to the temperature."""
    p = torch.softmax(logits / temperature, -1)
    jacobian = (torch.diag_embed(p) - torch.einsum("...i,...j->...ij", p, p)) / temperature
    return torch.einsum("...ij,...j->...i", jacobian, -logits / temperature)


# %% reading
p = torch.softmax(torch.tensor(variant["logits"]) / variant["temperature"], -1)
order = p.argsort(descending=True)
ratio, others = (p[order[0]] / p[order[1]]).item(), p[order[1:]].sum().item()
bits = -(p * p.log2()).sum().item()
even_temperature = np.float64(temperature_for(torch.tensor(variant["logits"], dtype=torch.float64), variant["share"]))
mean = (p * torch.tensor(variant["logits"])).sum()
gaining = [TOPICS[k] for k in range(5) if variant["logits"][k] < mean]
