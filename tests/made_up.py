"""The figures of a report that never ran, for tests of tables, figures and files."""

from typing import Any

import numpy as np

from kdlib.measure import difference, measure_model
from kdlib.plots import NAMES

CLASSES = ["negative", "positive"]
ACCURACY = {
    "teacher": 0.9, "student_distilled": 0.85, "student_labels_then_distilled": 0.84, "student_labels_only": 0.75,
    "tfidf_logistic": 0.7, "majority": 0.5,
}  # fmt: skip


def language_figures(seeds: int = 1, n: int = 200, seed: int = 0) -> dict[str, Any]:
    """One language as in ``metrics.json``: models that are right on about ``ACCURACY`` of ``n`` random labels."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=n)
    result: dict[str, Any] = {"data": {"train": 500, "validation": 100, "test": n, "transfer": 3000}}
    correct = {}
    for name in NAMES:
        runs = []
        for _ in range(seeds if "student" in name else 1):
            right = generator.random(n) < ACCURACY[name]
            runs.append(np.eye(2)[np.where(right, labels, 1 - labels)] * generator.uniform(0.2, 3, size=(n, 1)))
        result[name] = measure_model(labels, runs, CLASSES)
        correct[name] = np.stack([run.argmax(-1) == labels for run in runs])
        if name == "teacher" or "student" in name:
            times = {"1": {"median": 3.25, "p95": 4.5}, "32": {"median": 60.0, "p95": 70.0}}
            result[name] |= {
                "parameters": 117_500_000 if name == "teacher" else 9_400_000, "bytes": 41_700_000, "weight_bytes": 38_000_000,
                "flops": 10**9, "latency_ms": 3.25, "latency": times, "throughput": 533.3, "peak_memory_mb": 800.0,
            }  # fmt: skip
    others = [name for name in NAMES if name != "student_distilled"]
    result["differences"] = {name: difference(correct["student_distilled"], correct[name]) for name in others}
    result |= {"retention": 0.944, "agreement": 0.9125, "compression": 12.5, "unknown_rate": 0.001}
    rows = {"all": 88.0, "irony": 12.0, "negation": 10.0}
    models = ("teacher", "student_distilled", "student_labels_only")
    result["phenomena"] = {row: {"n": n, **{name: float(generator.random()) for name in models}} for row, n in rows.items()}
    return result
