"""Takes 1.96 standard errors whatever level the client asks for.

caught: read_accuracy, read_differences
says: which quantile goes with this level
"""
# %% read
def read_metrics(metrics):
    models, z = metrics["languages"][LANGUAGE], 1.96
    student = models["student_distilled"]
    p, n = student["accuracy"], student["n"]
    middle, half = p + z * z / 2 / n, z * (p * (1 - p) / n + z * z / 4 / n / n) ** 0.5
    result = {"n": n, "accuracy": (p, (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)),
              "latency_ms": student["latency_ms"], "megabytes": student["bytes"] / 1e6}
    for name, model, sign in (("gain", variant["rival"], 1), ("loss", "teacher", -1)):
        entry = models["differences"][model]
        half = z * entry["smallest_detectable"] / (quantile(0.975) + quantile(0.8))
        value = sign * entry["difference"]
        result[name] = (value, value - half, value + half)
    return result
