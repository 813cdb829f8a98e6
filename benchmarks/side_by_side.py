"""For the benchmarks here: contestants timed in turn, ratios of their times, the exponent of a growth, each with an interval of 95 %; FLOPs."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats


def interleaved(contestants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds [rounds] of each: every round runs all of them, so that what else the machine does hits all; one before warms up."""
    names, seconds = list(contestants), {name: np.zeros(rounds) for name in contestants}
    for turn in range(-1, rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            contestants[name]()
            if turn >= 0:
                seconds[name][turn] = time.perf_counter() - start
    return seconds


def middle(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """The median over rounds, with a bootstrap interval; of ratios within a round it is the median ratio."""
    values = np.asarray(values)
    draws = np.random.default_rng(0).integers(0, len(values), size=(2000, len(values)))
    low, high = np.quantile(np.median(values[draws], axis=1), [0.025, 0.975])
    return {"median": float(np.median(values)), "interval": [float(low), float(high)]}


def forward_flops(model: Any, shapes: Sequence[tuple[int, int]]) -> int:
    """FLOPs of a BERT forward pass over batches of (texts, tokens): 2 a weight and token; attention 4 · width · tokens a token, layer."""
    weights = sum(p.numel() for p in model.base_model.encoder.parameters() if p.ndim > 1)
    head = sum(p.numel() for name, p in model.named_parameters() if p.ndim > 1 and ("pooler" in name or "classifier" in name))
    attention = 4 * model.config.hidden_size * model.config.num_hidden_layers
    return sum(texts * (tokens * (2 * weights + attention * tokens) + 2 * head) for texts, tokens in shapes)


def batch_shapes(lengths: Sequence[int], size: int) -> list[tuple[int, int]]:
    """(texts, padded tokens) of the batches of texts of these lengths, in this order."""
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    return [(len(batch), max(batch)) for batch in batches]


def slope(sizes: Sequence[int], values: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The exponent of a growth: the slope of log ``values`` (of each size, by round) against log ``sizes``, by least squares.

    Its standard error comes from the rounds of one size, pooled over the sizes, so that a curve through their means is no noise;
    the interval (Student's t) is None where every size has one round.
    """
    logs = [np.log(np.asarray(rounds, float)) for rounds in values]
    x = np.repeat(np.log(sizes), [len(rounds) for rounds in logs])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    exponent, (deviation, freedom), interval = float(weights @ np.concatenate(logs)), spread(logs), None
    if freedom:
        half = float(stats.t.ppf(0.975, freedom) * deviation * np.sqrt((weights**2).sum()))
        interval = [exponent - half, exponent + half]
    return {"exponent": exponent, "interval": interval}


def spread(logs: Sequence[np.ndarray]) -> tuple[float, int]:
    """The standard deviation between rounds, pooled over the sizes, and its degrees of freedom."""
    freedom = sum(len(rounds) - 1 for rounds in logs)
    return float(np.sqrt(sum(((rounds - rounds.mean()) ** 2).sum() for rounds in logs) / max(1, freedom))), freedom


def without_fixed_cost(sizes: Sequence[int], values: Sequence[Sequence[float]]) -> dict[str, Any]:
    """b of c + a · n^b, from the last three sizes, each r times the one before: r^b = (t₃ − t₂) / (t₂ − t₁), whatever c is.

    The interval comes from 2,000 draws of the three means, with the spread between rounds (Student's t); None as in `slope`, or
    where the growth is lost in that spread.
    """
    first, second, third = sizes[-3:]
    assert third * first == second * second, sizes
    logs = [np.log(np.asarray(rounds, float)) for rounds in values]
    (deviation, freedom), counts = spread(logs), np.array([len(rounds) for rounds in logs[-3:]])
    means = np.array([rounds.mean() for rounds in logs[-3:]])
    noise = np.random.default_rng(0).standard_t(max(1, freedom), size=(2000, 3)) * deviation / np.sqrt(counts)
    steps = np.diff(np.exp(means + np.vstack([np.zeros(3), noise if freedom else np.zeros((1, 3))])), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        exponents = np.log(steps[:, 1] / steps[:, 0]) / np.log(second / first)
    clear = bool((steps > 0).all()) and freedom > 0
    interval = np.quantile(exponents[1:], [0.025, 0.975]).tolist() if clear else None
    return {"exponent": float(exponents[0]) if (steps[0] > 0).all() else None, "interval": interval}
