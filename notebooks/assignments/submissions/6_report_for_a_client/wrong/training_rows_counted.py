"""Takes the number of training rows for the number of test texts, which makes the interval far too narrow.

caught: read_accuracy
says: n: the example has 100 test texts
"""
# %% read
def read_metrics(metrics):
    models, z = metrics["languages"][LANGUAGE], quantile((1 + variant["level"]) / 2)
    student = models["student_distilled"]
    p, n = student["accuracy"], models["data"]["train"]
    middle, half = p + z * z / 2 / n, z * (p * (1 - p) / n + z * z / 4 / n / n) ** 0.5
    result = {"n": n, "accuracy": (p, (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)),
              "latency_ms": student["latency_ms"], "megabytes": student["bytes"] / 1e6}
    for name, model, sign in (("gain", variant["rival"], 1), ("loss", "teacher", -1)):
        entry = models["differences"][model]
        half = z * entry["smallest_detectable"] / (quantile(0.975) + quantile(0.8))
        value = sign * entry["difference"]
        result[name] = (value, value - half, value + half)
    return result
