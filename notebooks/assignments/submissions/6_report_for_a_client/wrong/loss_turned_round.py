"""Copies the difference from the teacher as it stands in the file, so that a loss comes out as a negative number.

caught: read_differences
says: mind the order of the two
"""
# %% read
def read_metrics(metrics):
    models, z = metrics["languages"][LANGUAGE], quantile((1 + variant["level"]) / 2)
    student = models["student_distilled"]
    p, n = student["accuracy"], student["n"]
    middle, half = p + z * z / 2 / n, z * (p * (1 - p) / n + z * z / 4 / n / n) ** 0.5
    result = {"n": n, "accuracy": (p, (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)),
              "latency_ms": student["latency_ms"], "megabytes": student["bytes"] / 1e6}
    for name, model in (("gain", variant["rival"]), ("loss", "teacher")):
        entry = models["differences"][model]
        half = z * entry["smallest_detectable"] / (quantile(0.975) + quantile(0.8))
        result[name] = (entry["difference"], entry["difference"] - half, entry["difference"] + half)
    return result
