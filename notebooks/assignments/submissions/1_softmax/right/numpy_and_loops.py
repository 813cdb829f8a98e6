"""Works in numpy and loops, finds the temperature with brentq of scipy, and types numbers with three digits."""


# %% softmax
def softmax(logits, temperature):
    """Probabilities over the last axis, at this temperature."""
    rows = np.atleast_2d(logits.numpy().astype(np.float64)).reshape(-1, logits.shape[-1])
    result = []
    for row in rows:
        largest = max(row)
        powers = [math.exp((value - largest) / temperature) for value in row]
        result.append([power / sum(powers) for power in powers])
    return torch.tensor(result).reshape(logits.shape)


# %% log_softmax
def log_softmax(logits, temperature):
    """Logarithms of the probabilities over the last axis, at this temperature."""
    scaled = logits.numpy().astype(np.float64) / temperature
    largest = scaled.max(axis=-1, keepdims=True)
    return scaled - largest - np.log(np.exp(scaled - largest).sum(axis=-1, keepdims=True))


# %% entropy
def entropy(probabilities, unit="nats"):
    """Entropy of each distribution over the last axis, in nats or in bits."""
    logarithm = math.log2 if unit == "bits" else math.log
    rows = probabilities.reshape(-1, probabilities.shape[-1]).tolist()
    numbers = [-sum(share * logarithm(share) for share in row if share > 0) for row in rows]
    return np.array(numbers).reshape(tuple(probabilities.shape[:-1]))


# %% temperature_for
def temperature_for(logits, share):
    """The temperature at which the softmax has this share of the largest possible entropy."""
    from scipy.optimize import brentq
    from scipy.stats import entropy as doubt

    spread = np.ptp(logits.numpy())
    if spread == 0:
        raise ValueError("equal logits have the largest entropy at every temperature")
    z = (logits.numpy() - logits.numpy().max()) / spread  # only z / T counts: solve for logits between -1 and 0

    def excess(u):  # of the entropy, at T = e^u; scipy's entropy makes probabilities of the powers
        return doubt(np.exp(z / math.exp(u))) / math.log(len(z)) - share

    if not excess(-7) < 0 < excess(9):
        raise ValueError("the wanted entropy lies outside the two limits")
    return spread * math.exp(brentq(excess, -7, 9))


# %% softmax_slope
def softmax_slope(logits, temperature):
    """The derivative of each probability with respect to the temperature."""
    result = torch.empty_like(logits).reshape(-1, logits.shape[-1])
    for place, row in enumerate(logits.reshape(-1, logits.shape[-1])):
        p = torch.softmax(row / temperature, 0).tolist()
        mean = sum(share * float(value) for share, value in zip(p, row, strict=True))
        for k, share in enumerate(p):
            result[place, k] = -share * (float(row[k]) - mean) / temperature**2
    return result.reshape(logits.shape)


# %% reading
shares = softmax(torch.tensor(variant["logits"]), variant["temperature"]).tolist()
ordered = sorted(shares, reverse=True)
ratio = round(ordered[0] / ordered[1], 2)
others = round(1 - ordered[0], 3)
bits = round(float(entropy(torch.tensor(shares), "bits")), 2)
even_temperature = round(temperature_for(torch.tensor(variant["logits"]), variant["share"]), 2)
later = softmax(torch.tensor(variant["logits"]), variant["temperature"] + 0.01).tolist()
gaining = tuple(topic for topic, before, after in zip(TOPICS, shares, later, strict=True) if after > before)
