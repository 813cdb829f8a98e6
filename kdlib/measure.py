"""From logits to the figures of a report: one plain dict, ``metrics.json``, and the tables that are drawn from it."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict
from scipy.special import softmax

from . import __version__
from .evaluate import (
    PairedDifference,
    agreement,
    describe_difference,
    evaluate,
    mcnemar,
    mean_and_sd,
    paired_bootstrap,
    retention,
    smallest_detectable_difference,
)
from .experiment import Classifier, Outcome, Settings, load_student, tfidf_baseline
from .plots import NAMES
from .profile import profile_model
from .vocabulary import unknown_rate

VERSIONED = ("torch", "transformers", "datasets", "accelerate", "peft", "scikit-learn", "numpy")


def measure_language(data: DatasetDict, teacher: Classifier, students: Mapping[str, list[Outcome]], settings: Settings) -> dict[str, Any]:
    """All figures of one language: every model on the test set, the differences between them, cost, phenomena."""
    test, names = data["test"], data["train"].features["label"].names
    language, labels, texts = test[0]["language"], np.array(test["label"]), list(test["text"])
    baseline = tfidf_baseline(data, language)
    counts = np.bincount([label for label in data["train"]["label"] if label >= 0], minlength=len(names))
    logits = {
        "teacher": [np.array(test["teacher_logits"])],
        **{f"student_{kind}": [outcome.logits["test"] for outcome in outcomes] for kind, outcomes in students.items()},
        "tfidf_logistic": [baseline.predict_log_proba(texts)],
        "majority": [np.tile(np.log(counts / counts.sum() + 1e-9), (len(test), 1))],
    }
    result: dict[str, Any] = {"data": {name: len(data[name]) for name in ("train", "validation", "test", "transfer")}}
    for name, runs in logits.items():
        result[name] = measure_model(labels, runs, names)
    sample = texts[:64]
    result["teacher"] |= cost(teacher, sample, settings)
    student, student_tokenizer = load_student(students["distilled"][0])
    figures = cost((student, student_tokenizer), sample, settings)  # the students of a language have one architecture
    for kind in students:
        result[f"student_{kind}"] |= figures
    correct = {name: np.stack([run.argmax(-1) == labels for run in runs]) for name, runs in logits.items()}
    result["differences"] = {
        other: difference(correct["student_distilled"], correct[other]) for other in correct if other != "student_distilled"
    }
    result["retention"] = retention(result["student_distilled"]["accuracy"], result["teacher"]["accuracy"])
    result["agreement"] = agreement(logits["teacher"][0], logits["student_distilled"][0])
    result["compression"] = result["teacher"]["parameters"] / result["student_distilled"]["parameters"]
    result["unknown_rate"] = unknown_rate(student_tokenizer, texts)
    if "diagnostics" in data:
        result["phenomena"] = measure_phenomena(data["diagnostics"], students)
    return result


def measure_model(labels: np.ndarray, runs: list[np.ndarray], names: list[str]) -> dict[str, Any]:
    """One model's figures; of several seeds the mean and the standard deviation, the rest from the first seed."""
    results = [evaluate(labels, logits, names) for logits in runs]
    accuracy, deviation = mean_and_sd([result.accuracy for result in results])
    shift = accuracy - results[0].accuracy
    figures = results[0].to_dict() | {
        "accuracy": accuracy,
        "accuracy_interval": [min(1.0, max(0.0, bound + shift)) for bound in results[0].accuracy_interval],
        "macro_f1": mean_and_sd([result.macro_f1 for result in results])[0],
        "expected_calibration_error": mean_and_sd([result.expected_calibration_error for result in results])[0],
        "seeds": {"accuracy": [result.accuracy for result in results], "sd": deviation},
    }
    return figures | {"reliability": reliability(softmax(runs[0], axis=-1), labels)}


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> list[dict[str, float]]:
    """Mean confidence, accuracy and count of each filled bin of equal width (Guo et al. 2017, §2)."""
    confidence, correct = probabilities.max(-1), probabilities.argmax(-1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    filled = [(place == b) for b in range(bins) if (place == b).any()]
    return [{"confidence": float(confidence[b].mean()), "accuracy": float(correct[b].mean()), "n": int(b.sum())} for b in filled]


def difference(correct_a: np.ndarray, correct_b: np.ndarray) -> dict[str, float]:
    """Accuracy a − b with its paired 95 % interval, McNemar's p (first seed) and what the test set could have shown."""
    runs = max(len(correct_a), len(correct_b))
    a, b = (np.broadcast_to(c, (runs, c.shape[1])) for c in (correct_a, correct_b))
    return {
        **asdict(paired_bootstrap(a, b)),
        "mcnemar_p": mcnemar(a[0], b[0]),
        "smallest_detectable": smallest_detectable_difference(a, b),
    }


def cost(model: Classifier, texts: list[str], settings: Settings) -> dict[str, Any]:
    """Parameters, bytes, FLOPs, latency (``latency_ms``: median at batch 1; ``latency``: all), throughput, memory."""
    figures = profile_model(*model, texts, repeats=10, max_length=settings.max_length)
    latency = figures.pop("latency_ms")
    return figures | {"latency_ms": latency["1"]["median"], "latency": latency}


def measure_phenomena(diagnostics: Dataset, students: Mapping[str, list[Outcome]]) -> dict[str, dict[str, float]]:
    """Accuracy by phenomenon on the texts that are positive or negative; a student's mean P(positive) over seeds decides."""
    table = pd.DataFrame({"phenomenon": diagnostics["phenomenon"], "label": diagnostics["label"]})
    table["teacher"] = softmax(np.array(diagnostics["teacher_logits"]), axis=-1)[:, 1]
    for kind, outcomes in students.items():
        table[f"student_{kind}"] = np.mean([softmax(o.logits["diagnostics"], axis=-1)[:, 1] for o in outcomes], axis=0)
    models = [name for name in table.columns if name in NAMES]
    clear = table[table["label"] < 2]
    right = (clear[models] > 0.5).eq(clear["label"] == 1, axis=0)
    rows = {"all": {"n": float(len(clear)), **right.mean().to_dict()}}
    for phenomenon, group in right.groupby(clear["phenomenon"]):
        rows[str(phenomenon)] = {"n": float(len(group)), **group.mean().to_dict()}
    return rows


def environment() -> dict[str, Any]:
    """Versions, machine and threads, for ``metrics.json``."""
    versions = {"kdlib": __version__, "python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in VERSIONED}
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else platform.machine()
    return {"versions": versions, "machine": {"device": device, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "system": platform.system()}}


def result_table(languages: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Accuracy with interval (and sd over seeds), macro-F1, ECE, size, latency: one row for every model and language."""
    rows = []
    for language, models in languages.items():
        for name in NAMES:
            figures = models[name]
            low, high = figures["accuracy_interval"]
            spread = f" ± {100 * figures['seeds']['sd']:.1f}" if len(figures["seeds"]["accuracy"]) > 1 else ""
            rows.append({
                "language": language, "model": NAMES[name], "accuracy, %": f"{100 * figures['accuracy']:.1f}{spread}",
                "95 % interval": f"{100 * low:.1f} – {100 * high:.1f}", "macro-F1": f"{figures['macro_f1']:.3f}",
                "ECE": f"{figures['expected_calibration_error']:.3f}",
                "parameters, M": f"{figures['parameters'] / 1e6:.1f}" if "parameters" in figures else "",
                "MB on disk": f"{figures['bytes'] / 1e6:.1f}" if "bytes" in figures else "",
                "ms a text": f"{figures['latency_ms']:.1f}" if "latency_ms" in figures else "",
            })  # fmt: skip
    return pd.DataFrame(rows).set_index(["language", "model"])


def summary_sentences(languages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One sentence a language, made from the figures."""
    sentences = []
    for language, models in languages.items():
        gain = models["differences"]["student_labels_only"]
        fields = {name: gain[name] for name in PairedDifference.__dataclass_fields__}
        sentences.append(
            f"{language}: a student {models['compression']:.0f} times smaller than the teacher keeps "
            f"{100 * models['retention']:.1f} % of its accuracy ({100 * models['student_distilled']['accuracy']:.1f} of "
            f"{100 * models['teacher']['accuracy']:.1f} %) and agrees with it on {100 * models['agreement']:.1f} % of the test texts. "
            + describe_difference(PairedDifference(**fields), "the distilled student", "the labels-only student")
        )
    return sentences
