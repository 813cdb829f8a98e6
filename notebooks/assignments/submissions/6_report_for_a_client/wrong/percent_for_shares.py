"""Returns per cent and points in place of shares.

caught: read_accuracy, read_differences
says: shares from 0 to 1
"""
# %% read
def read_metrics(metrics):
    models, z = metrics["languages"][LANGUAGE], quantile((1 + variant["level"]) / 2)
    student = models["student_distilled"]
    p, n = student["accuracy"], student["n"]
    middle, half = p + z * z / 2 / n, z * (p * (1 - p) / n + z * z / 4 / n / n) ** 0.5
    accuracy = (p, (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
    result = {"n": n, "accuracy": tuple(100 * number for number in accuracy),
              "latency_ms": student["latency_ms"], "megabytes": student["bytes"] / 1e6}
    for name, model, sign in (("gain", variant["rival"], 1), ("loss", "teacher", -1)):
        entry = models["differences"][model]
        half = 100 * z * entry["smallest_detectable"] / (quantile(0.975) + quantile(0.8))
        value = 100 * sign * entry["difference"]
        result[name] = (value, value - half, value + half)
    return result
