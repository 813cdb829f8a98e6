"""Measuring classifiers: accuracy with intervals, agreement, calibration, and paired differences on the same texts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .errors import InputError
from .files import progress as bar


def predict_logits(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch_size: int = 64,
    max_length: int = 128,
    progress: str | None = None,
) -> np.ndarray:
    """Logits [n, K] in float32, in the order of ``texts``; ``progress`` names a bar (``None``: no bar).

    Batches are made of texts of similar length, so that little is spent on padding; the model runs in evaluation mode
    on its own device, and its mode is restored.
    """
    texts, classes = list(texts), int(model.config.num_labels or 0)
    if not texts:
        return np.zeros((0, classes), np.float32)
    encoded = tokenizer(texts, truncation=True, max_length=max_length, return_token_type_ids=False)
    order = np.argsort([len(ids) for ids in encoded["input_ids"]], kind="stable")
    logits = np.zeros((len(texts), classes), np.float32)
    starts: Any = range(0, len(texts), batch_size)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for start in bar(starts, progress) if progress else starts:
                rows = order[start : start + batch_size]
                batch = tokenizer.pad({key: [encoded[key][i] for i in rows] for key in encoded}, return_tensors="pt")
                logits[rows] = model(**batch.to(model.device)).logits.float().cpu().numpy()
    finally:
        model.train(training)
    return logits


@dataclass(frozen=True)
class EvaluationResult:
    """One model on one labelled test set; shares lie in [0, 1]."""

    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]  # 95 %, Wilson (1927)
    macro_f1: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]  # rows: labels, columns: predictions
    expected_calibration_error: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self) | {"accuracy_interval": list(self.accuracy_interval)}


def evaluate(labels: Sequence[int] | np.ndarray, logits: np.ndarray, names: Sequence[str]) -> EvaluationResult:
    """Accuracy, macro-F1, figures for each class, confusion counts and calibration of ``logits`` [n, K] against ``labels`` [n].

    Raises ``InputError`` for unequal lengths, labels outside the classes, and logits that are not numbers.
    """
    truth, scores = np.asarray(labels), np.asarray(logits)
    if scores.shape != (len(truth), len(names)) or len(truth) == 0:
        raise InputError(f"The logits have shape {scores.shape} and the labels need {(len(truth), len(names))}: evaluate both on the same texts.")
    if np.isnan(scores).any():
        raise InputError(f"Row {int(np.isnan(scores).any(1).argmax())} of the logits is not a number: the model's training has diverged.")
    if truth.min() < 0 or truth.max() >= len(names):
        raise InputError(f"The labels run from {truth.min()} to {truth.max()} and there are {len(names)} classes: drop rows without a label.")
    predicted, classes = scores.argmax(-1), list(range(len(names)))
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0)
    hits = int((predicted == truth).sum())
    low, high = stats.binomtest(hits, len(truth)).proportion_ci(method="wilson")
    per_class = {
        name: {"precision": float(precision[k]), "recall": float(recall[k]), "f1": float(f1[k]), "support": int(support[k])}
        for k, name in enumerate(names)
    }
    return EvaluationResult(
        n=len(truth),
        accuracy=hits / len(truth),
        accuracy_interval=(float(low), float(high)),
        macro_f1=float(np.mean(f1)),
        per_class=per_class,
        confusion=confusion_matrix(truth, predicted, labels=classes).tolist(),
        expected_calibration_error=expected_calibration_error(softmax(scores, axis=-1), truth),
    )


def agreement(logits_a: np.ndarray, logits_b: np.ndarray) -> float:
    """The share of texts on which two models choose the same class."""
    return float((np.asarray(logits_a).argmax(-1) == np.asarray(logits_b).argmax(-1)).mean())


def retention(student_accuracy: float, teacher_accuracy: float) -> float:
    """The student's accuracy as a share of the teacher's."""
    return student_accuracy / teacher_accuracy


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Σ_b n_b/n · |accuracy_b − confidence_b| over bins of equal width of the largest probability (Guo et al. 2017, eq. 3)."""
    confidence, correct = probabilities.max(-1), probabilities.argmax(-1) == np.asarray(labels)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, correct - confidence, minlength=bins)  # n_b · (accuracy_b − confidence_b)
    return float(np.abs(gaps).sum() / len(confidence))


@dataclass(frozen=True)
class PairedDifference:
    """An accuracy difference a − b on the same texts and its 95 % interval."""

    difference: float
    low: float
    high: float


def paired_bootstrap(correct_a: np.ndarray, correct_b: np.ndarray, resamples: int = 2000, seed: int = 0) -> PairedDifference:
    """Accuracy a − b with a 95 % percentile interval; ``correct_*`` hold 0 and 1, [n] or [seeds, n], for the same texts.

    Each resample draws texts and, where there are several, seeds, both with replacement (Efron & Tibshirani 1993, ch. 13).
    """
    gaps = np.atleast_2d(np.asarray(correct_a, float) - np.asarray(correct_b, float))
    generator = np.random.default_rng(seed)
    runs, n = gaps.shape
    means = np.empty(resamples)
    for r in range(resamples):
        drawn = gaps[generator.integers(runs, size=runs)].mean(0) if runs > 1 else gaps[0]
        means[r] = drawn[generator.integers(n, size=n)].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return PairedDifference(float(gaps.mean()), float(low), float(high))


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Exact two-sided p of McNemar's test (1947): of the texts on which only one is right, is either model right more often?"""
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def smallest_detectable_difference(correct_a: np.ndarray, correct_b: np.ndarray, power: float = 0.8, level: float = 0.05) -> float:
    """(z_{1−level/2} + z_power) · standard error of the paired difference: smaller true differences are mostly missed."""
    gaps = np.atleast_2d(np.asarray(correct_a, float) - np.asarray(correct_b, float)).mean(0)
    return float((stats.norm.ppf(1 - level / 2) + stats.norm.ppf(power)) * gaps.std(ddof=1) / np.sqrt(len(gaps)))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (n − 1); the deviation of a single value is 0."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def describe_difference(difference: PairedDifference, name_a: str, name_b: str) -> str:
    """One sentence in percentage points; "inside the noise" where the interval covers zero."""
    points, low, high = (100 * value for value in (difference.difference, difference.low, difference.high))
    interval = f"(95 % interval {low:+.1f} to {high:+.1f})"
    if low <= 0 <= high:
        return f"The difference between {name_a} and {name_b}, {points:+.1f} points {interval}, is inside the noise."
    return f"{name_a[0].upper()}{name_a[1:]} is {abs(points):.1f} points {'better' if points > 0 else 'worse'} than {name_b} {interval}."
