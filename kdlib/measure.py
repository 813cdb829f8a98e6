"""From logits to the figures of a report: one plain dict, ``metrics.json``, and the tables that are drawn from it."""

import importlib.metadata
import os
import platform
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict
from scipy.special import softmax

from . import __version__
from .data import SPLITS
from .evaluate import PairedDifference, agreement, describe_difference, difference, evaluate, mean_and_sd, reliability, retention
from .experiment import Classifier, Outcome, Settings, digest, load_student, tfidf_baseline
from .plots import NAMES
from .profile import profile_model
from .vocabulary import unknown_rate


def measure_language(data: DatasetDict, teacher: Classifier, students: Mapping[str, list[Outcome]], settings: Settings) -> dict[str, Any]:
    """All figures of one language: every model on the test set, the differences between them, cost, phenomena."""
    test, names = data["test"], data["train"].features["label"].names
    labels, texts = np.array(test["label"]), list(test["text"])
    counts = np.bincount([label for label in data["train"]["label"] if label >= 0], minlength=len(names))
    logits = {"teacher": [np.array(test["teacher_logits"])]} | logits_by_student(students, "test")
    logits["tfidf_logistic"] = [tfidf_baseline(data, test[0]["language"]).predict_log_proba(texts)]
    logits["majority"] = [np.tile(np.log(counts / counts.sum() + 1e-9), (len(test), 1))]
    result: dict[str, Any] = {"data": {name: len(data[name]) for name in SPLITS}}
    result |= {name: measure_model(labels, runs, names) for name, runs in logits.items()}
    result["teacher"] |= cost(teacher, texts[:64], settings)
    student = load_student(students["distilled"][0])
    figures = cost(student, texts[:64], settings)  # the students of a language have one architecture
    for kind in students:
        result[f"student_{kind}"] |= figures
    correct = {name: np.stack([run.argmax(-1) == labels for run in runs]) for name, runs in logits.items()}
    result["test_set"] = digest(texts, labels.tolist())
    result["right"] = {name: ["".join(map(str, run.astype(int))) for run in runs] for name, runs in correct.items()}  # 1 or 0 a test text
    distilled = correct.pop("student_distilled")
    result["differences"] = {other: difference(distilled, runs) for other, runs in correct.items()}
    result["retention"] = retention(result["student_distilled"]["accuracy"], result["teacher"]["accuracy"])
    result["agreement"] = agreement(logits["teacher"][0], logits["student_distilled"][0])
    result["compression"] = result["teacher"]["parameters"] / result["student_distilled"]["parameters"]
    result["unknown_rate"] = unknown_rate(student[1], texts)
    if "diagnostics" in data:
        result["phenomena"] = measure_phenomena(data["diagnostics"], students)
    return result


def logits_by_student(students: Mapping[str, list[Outcome]], split: str) -> dict[str, list[np.ndarray]]:
    """Every student's logits on ``test`` or ``diagnostics``, one array for each seed."""
    return {f"student_{kind}": [outcome.logits[split] for outcome in outcomes] for kind, outcomes in students.items()}


def measure_model(labels: np.ndarray, runs: list[np.ndarray], names: list[str]) -> dict[str, Any]:
    """One model's figures; of several seeds the mean and the standard deviation, the rest from the first seed."""
    results = [evaluate(labels, logits, names).to_dict() for logits in runs]
    first, averaged = results[0], ("accuracy", "macro_f1", "expected_calibration_error")
    means = {name: mean_and_sd([result[name] for result in results])[0] for name in averaged}
    accuracies = [result["accuracy"] for result in results]
    interval = np.clip(np.add(first["accuracy_interval"], means["accuracy"] - first["accuracy"]), 0, 1).tolist()
    seeds, bins = {"accuracy": accuracies, "sd": mean_and_sd(accuracies)[1]}, reliability(softmax(runs[0], axis=-1), labels)
    return first | means | {"accuracy_interval": interval, "seeds": seeds, "reliability": bins}


def cost(model: Classifier, texts: list[str], settings: Settings) -> dict[str, Any]:
    """Parameters, bytes, FLOPs, latency (``latency_ms``: median at batch 1; ``latency``: all), throughput, memory."""
    figures = profile_model(*model, texts, repeats=3 if settings.profile == "slice" else 10, max_length=settings.max_length)
    return figures | {"latency_ms": figures["latency_ms"]["1"]["median"], "latency": figures["latency_ms"]}


def measure_phenomena(diagnostics: Dataset, students: Mapping[str, list[Outcome]]) -> dict[str, dict[str, float]]:
    """Accuracy by phenomenon on the texts that are positive or negative; a student's mean P(positive) over seeds decides."""
    logits = {"teacher": [np.array(diagnostics["teacher_logits"])]} | logits_by_student(students, "diagnostics")
    positive = {name: np.mean([softmax(run, axis=-1)[:, 1] for run in runs], axis=0) for name, runs in logits.items()}
    labels, phenomena = np.array(diagnostics["label"]), np.array(diagnostics["phenomenon"])
    right = pd.DataFrame({name: (share > 0.5) == (labels == 1) for name, share in positive.items()})[labels < 2]
    groups = {"all": right, **dict(iter(right.groupby(phenomena[labels < 2])))}
    return {name: {"n": float(len(rows)), **rows.mean().to_dict()} for name, rows in groups.items()}


def environment() -> dict[str, Any]:
    """Versions, machine and threads, for ``metrics.json``."""
    packages = ("torch", "transformers", "datasets", "accelerate", "peft", "scikit-learn", "numpy")
    versions = {"kdlib": __version__, "python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
    units = [name for name in ("avx512_bf16", "amx_bf16") if torch.cpu.get_capabilities().get(name)]  # they decide about speed, and last digits
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else " ".join([platform.machine(), *units])
    return {"versions": versions, "machine": {"device": device, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "system": platform.system()}}


def result_table(languages: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Accuracy with interval (and sd over seeds), macro-F1, ECE, size, latency: one row for every model and language."""
    costs = {"parameters, M": ("parameters", 1e6), "MB on disk": ("bytes", 1e6), "ms a text": ("latency_ms", 1)}
    rows = {}
    for language, models in languages.items():
        for model, name in NAMES.items():
            figures = models[model]
            low, high = figures["accuracy_interval"]
            spread = f" ± {100 * figures['seeds']['sd']:.1f}" if len(figures["seeds"]["accuracy"]) > 1 else ""
            accuracy, interval = f"{100 * figures['accuracy']:.1f}{spread}", f"{100 * low:.1f} – {100 * high:.1f}"
            quality = {"macro-F1": f"{figures['macro_f1']:.3f}", "ECE": f"{figures['expected_calibration_error']:.3f}"}
            price = {title: f"{figures[key] / unit:.1f}" if key in figures else "" for title, (key, unit) in costs.items()}
            rows[language, name] = {"accuracy, %": accuracy, "95 % interval": interval, **quality, **price}
    return pd.DataFrame(rows).T.rename_axis(["language", "model"])


def summary_sentences(languages: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One sentence a language, made from the figures."""
    for language, models in languages.items():
        paired = PairedDifference(*(models["differences"]["student_labels_only"][name] for name in ("difference", "low", "high")))
        kept = f"a student {models['compression']:.0f} times smaller than the teacher keeps {100 * models['retention']:.1f} % of its accuracy"
        shares = f"({100 * models['student_distilled']['accuracy']:.1f} of {100 * models['teacher']['accuracy']:.1f} %)"
        agreed = f"and agrees with it on {100 * models['agreement']:.1f} % of the test texts."
        yield f"{language}: {kept} {shares} {agreed} {describe_difference(paired, 'the distilled student', 'the labels-only student')}"
