"""Finds Wilson's ends as roots of the parabola, decides by counting, and searches for the number of texts."""
# %% read
import numpy as np


def read_metrics(metrics):
    figures = metrics["languages"][LANGUAGE]
    student, level = figures["student_distilled"], variant["level"]
    z = -quantile((1 - level) / 2)
    n = figures["data"]["test"]
    hits = student["accuracy"] * n
    low, high = np.sort(np.roots([1 + z**2 / n, -(2 * hits / n + z**2 / n), (hits / n) ** 2]).real)
    found = {"n": int(n), "accuracy": [hits / n, float(low), float(high)], "latency_ms": float(student["latency"]["1"]["median"])
             if "latency" in student else student["latency_ms"], "megabytes": student["bytes"] * 1e-6}
    unit = quantile(0.8) + quantile(0.975)
    for name, other, sign in (("gain", variant["rival"], 1), ("loss", "teacher", -1)):
        entry = figures["differences"][other]
        around = sign * np.array([entry["difference"]] * 3) + np.array([0, -1, 1]) * z * entry["smallest_detectable"] / unit
        found[name] = around.tolist()
    return found


# %% decide
def verdict(figures):
    marks = []  # 1 holds, 0 open, -1 broken
    for name, wanted in (("accuracy", "minimum"), ("gain", "margin")):
        _, low, high = figures[name]
        marks.append(int(low >= variant[wanted]) - int(high < variant[wanted]))
    for name in ("latency_ms", "megabytes"):
        marks.append(1 if not figures[name] > variant[name] else -1)
    return {1: "ship", 0: "cannot tell", -1: "do not ship"}[min(marks)]


# %% plan
def texts_needed(gain, disagreement):
    def shown(n):
        return (quantile(0.5 + variant["level"] / 2) + quantile(0.8)) * math.sqrt(disagreement / n)

    low, high = 0, 1
    while shown(high) > gain:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shown(middle) > gain else (low, middle)
    return high
