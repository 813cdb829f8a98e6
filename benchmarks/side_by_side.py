"""For the benchmarks here: contestants timed in turn, ratios of their times, the exponent of a growth; each with an interval of 95 %."""

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


def slope(sizes: Sequence[int], values: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The exponent of a growth: the slope of log ``values`` (of each size, by round) against log ``sizes``, by least squares.

    Its standard error comes from the rounds of one size, pooled over the sizes, so that a curve through their means is no noise;
    the interval (Student's t) is None where every size has one round.
    """
    logs = [np.log(np.asarray(rounds, float)) for rounds in values]
    x = np.repeat(np.log(sizes), [len(rounds) for rounds in logs])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    exponent, freedom, interval = float(weights @ np.concatenate(logs)), len(x) - len(logs), None
    if freedom:
        variance = sum(((rounds - rounds.mean()) ** 2).sum() for rounds in logs) / freedom
        half = float(stats.t.ppf(0.975, freedom) * np.sqrt(variance * (weights**2).sum()))
        interval = [exponent - half, exponent + half]
    return {"exponent": exponent, "interval": interval}
