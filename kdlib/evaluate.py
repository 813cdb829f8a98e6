"""Measuring classifiers: accuracy, agreement, calibration, and paired differences on the same texts."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .errors import InputError
from .files import progress as bar


@contextmanager
def evaluation_mode(model: PreTrainedModel) -> Iterator[None]:
    """No dropout and no gradients inside the block; the model's mode is restored when it ends."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def accepted(model: PreTrainedModel, encoded: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's ``forward`` names of a tokenizer's output (DistilBERT takes no token_type_ids)."""
    parameters = inspect.signature(model.forward).parameters
    names = [name for name in encoded if name in parameters] or ["input_ids", "attention_mask"]
    return {name: encoded[name] for name in names}


def predict_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str],
    batch_size: int = 64, max_length: int = 128, progress: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Logits [n, K] in float32, in the order of ``texts``.

    Batches hold texts of similar length, so that little is spent on padding. The model runs on its own
    device, without dropout, and its mode is restored. Texts are cut after ``max_length`` tokens; ``progress``
    names a bar (``None``: no bar).

    Raises ``InputError`` for one string in place of a list, and for a text that is not a string.
    """
    if isinstance(texts, str):
        raise InputError("texts is a single string: give a list of strings, such as [text].")
    texts = list(texts)
    if wrong := [row for row, text in enumerate(texts) if not isinstance(text, str)]:
        raise InputError(f"Text {wrong[0]} is {texts[wrong[0]]!r}, not a string: drop rows without a text.")
    logits = np.zeros((len(texts), int(model.config.num_labels or 0)), np.float32)
    if not texts:
        return logits
    encoded = accepted(model, tokenizer(texts, truncation=True, max_length=max_length))
    order = np.argsort([len(ids) for ids in encoded["input_ids"]], kind="stable")
    starts: Any = range(0, len(texts), batch_size)
    with evaluation_mode(model):
        for start in bar(starts, progress) if progress else starts:
            rows = order[start : start + batch_size]
            batch = {name: [values[i] for i in rows] for name, values in encoded.items()}
            inputs = tokenizer.pad(batch, return_tensors="pt").to(model.device)
            logits[rows] = model(**inputs).logits.float().cpu().numpy()
    return logits


@dataclass(frozen=True)
class EvaluationResult:
    """One model on one labelled test set; shares lie in [0, 1]."""

    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]  # 95 %, Wilson (1927)
    macro_f1: float
    per_class: dict[str, dict[str, float]]  # name: precision, recall, f1, support
    confusion: list[list[int]]  # rows: labels, columns: predictions
    expected_calibration_error: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self) | {"accuracy_interval": list(self.accuracy_interval)}


def evaluate(labels: ArrayLike, logits: ArrayLike, names: Sequence[str]) -> EvaluationResult:
    """Accuracy, macro-F1, figures of each class, confusion counts and calibration.

    ``labels`` [n] are indices into the K ``names``, ``logits`` are [n, K]. Macro-F1 is the mean over all K
    classes; a class with neither labels nor predictions counts as 0.

    Raises ``InputError`` for unequal lengths, labels that are none of the classes, and logits without a
    finite largest one.
    """
    truth, scores, classes = np.asarray(labels), np.asarray(logits, float), range(len(names))
    check_fit(truth, scores, len(names))
    if wrong := [f"{label} (row {row})" for row, label in enumerate(truth) if label not in classes]:
        raise InputError(f"Label {wrong[0]} is none of 0 to {len(names) - 1}: drop the rows without a label.")
    if (diverged := ~np.isfinite(scores.max(-1))).any():
        raise InputError(f"Row {diverged.argmax()} of the logits is not finite: lower the learning rate.")
    truth, predicted = truth.astype(int), scores.argmax(-1)
    figures = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0)
    rows = zip(*(column.tolist() for column in figures), strict=True)
    keys = ("precision", "recall", "f1", "support")
    hits = int((predicted == truth).sum())
    low, high = stats.binomtest(hits, len(truth)).proportion_ci(method="wilson")
    return EvaluationResult(
        n=len(truth),
        accuracy=hits / len(truth),
        accuracy_interval=(float(low), float(high)),
        macro_f1=float(np.mean(figures[2])),
        per_class={name: dict(zip(keys, row, strict=True)) for name, row in zip(names, rows, strict=True)},
        confusion=confusion_matrix(truth, predicted, labels=classes).tolist(),
        expected_calibration_error=expected_calibration_error(softmax(scores, axis=-1), truth),
    )


def check_fit(labels: np.ndarray, scores: np.ndarray, classes: int) -> None:
    """Raise ``InputError`` unless labels are [n] and scores [n, classes] with n > 0."""
    if labels.ndim != 1 or not labels.size or scores.shape != (len(labels), classes):
        raise InputError(f"Shapes {labels.shape}, {scores.shape} do not fit: give [n] and [n, {classes}].")


def agreement(logits_a: ArrayLike, logits_b: ArrayLike) -> float:
    """The share of texts on which two models choose the same class; ``InputError`` unless both are [n, K]."""
    choices = np.asarray(logits_a).argmax(-1)
    check_fit(choices, np.asarray(logits_b), np.shape(logits_a)[-1])
    return float((choices == np.asarray(logits_b).argmax(-1)).mean())


def retention(student_accuracy: float, teacher_accuracy: float) -> float:
    """The student's accuracy as a share of the teacher's, which must be above 0 (else ``InputError``)."""
    if not teacher_accuracy > 0:
        raise InputError(f"The teacher's accuracy is {teacher_accuracy}: compare with a teacher above 0.")
    return student_accuracy / teacher_accuracy


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """How far confidence is from accuracy: Σ_b n_b / n · |accuracy_b − confidence_b|.

    The confidence of a text is its largest probability; bin b holds those in ((b − 1) / bins, b / bins].
    ``probabilities`` are [n, K], ``labels`` [n]; anything else raises ``InputError``.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks", section 2, equation 3.
    """
    shares, truth = np.asarray(probabilities, float), np.asarray(labels)
    check_fit(truth, shares, shares.shape[-1])
    if not np.allclose(shares.sum(-1), 1, atol=1e-4):
        raise InputError("The rows of the probabilities do not sum to 1: give the softmax of the logits.")
    confidence, correct = shares.max(-1), shares.argmax(-1) == truth
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gaps = np.bincount(place, correct - confidence)  # n_b · (accuracy_b − confidence_b)
    return float(np.abs(gaps).sum() / len(confidence))


@dataclass(frozen=True)
class PairedDifference:
    """An accuracy difference a − b on the same texts and its 95 % interval."""

    difference: float
    low: float
    high: float


def paired_gaps(correct_a: ArrayLike, correct_b: ArrayLike) -> np.ndarray:
    """Correct a − correct b as [seeds, n]; ``InputError`` unless both are 0 and 1, [n] or [seeds, n]."""
    a, b = np.asarray(correct_a, float), np.asarray(correct_b, float)
    if a.shape != b.shape or a.ndim not in (1, 2) or not a.size:
        raise InputError(f"The shapes are {a.shape} and {b.shape}: give both as [n] or both as [seeds, n].")
    if not np.isin([a, b], (0, 1)).all():
        raise InputError("Some entries are neither 0 nor 1: give predictions == labels of each model.")
    return np.atleast_2d(a - b)


def paired_bootstrap(correct_a: ArrayLike, correct_b: ArrayLike, resamples: int = 2000, seed: int = 0) -> PairedDifference:
    """Accuracy a − b on the same texts, with a 95 % percentile interval.

    ``correct_*`` hold 1 where the model is right and 0 where not, [n] or [seeds, n]. Each resample draws n
    texts and, where there are several, as many seeds, both with replacement; a and b keep the same texts and
    seeds. So the interval speaks of other texts and other training runs, though S seeds show only (S − 1) / S
    of the variance between runs: with very few it is too narrow. With one seed it speaks of other texts only.

    Raises ``InputError`` for unequal shapes and entries other than 0 and 1.
    Source: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13 (percentile interval).
    """
    gaps = paired_gaps(correct_a, correct_b)
    runs, n = gaps.shape
    # Texts with the same outcome are interchangeable: drawing how many of each kind is drawing the texts.
    kinds, counts = np.unique(gaps, axis=1, return_counts=True)
    draw = np.random.default_rng(seed).multinomial
    texts = draw(n, counts / n, size=resamples) / n  # [resamples, kinds], a weight of each
    seeds = draw(runs, np.full(runs, 1 / runs), size=resamples) / runs  # [resamples, runs]
    low, high = np.quantile((texts @ kinds.T * seeds).sum(-1), [0.025, 0.975])
    return PairedDifference(float(gaps.mean()), float(low), float(high))


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Exact two-sided p of McNemar's test (1947): where only one model is right, is it equally often either?

    ``correct_*`` are [n], of one seed: over several, the same text would count as several independent ones.
    p is 1 where the models are right on the same texts. Raises ``InputError`` as `paired_bootstrap`, and for
    [seeds, n].
    """
    gaps = paired_gaps(correct_a, correct_b)
    if np.ndim(correct_a) != 1:
        raise InputError(f"The shape is {np.shape(correct_a)}: give [n], one seed of each model.")
    only_a, only_b = int((gaps > 0).sum()), int((gaps < 0).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def smallest_detectable_difference(correct_a: ArrayLike, correct_b: ArrayLike, power: float = 0.8, level: float = 0.05) -> float:
    """The true accuracy difference that a test on n such texts finds with probability ``power``.

    (z_{1 − level/2} + z_power) · √(s² / n), where s² is the variance (n − 1) over texts of correct a −
    correct b, of [seeds, n] the mean over seeds first; the variance between training runs is not in it. 0
    where the models are right on the same texts. Raises ``InputError`` as `paired_bootstrap`, and for fewer
    than two texts.
    """
    gaps = paired_gaps(correct_a, correct_b).mean(0)
    if len(gaps) < 2:
        raise InputError("There is one text, which has no variance: give at least two.")
    z = stats.norm.ppf(1 - level / 2) + stats.norm.ppf(power)
    return float(z * np.sqrt(gaps.var(ddof=1) / len(gaps)))


def mean_and_sd(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (n − 1), 0 for one value; raises ``InputError`` for none."""
    if len(values) == 0:
        raise InputError("There are no values to take the mean of: give at least one.")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def describe_difference(difference: PairedDifference, name_a: str, name_b: str) -> str:
    """One sentence in percentage points, a − b; "inside the noise" where the interval covers zero."""
    gap, low, high = (100 * share for share in (difference.difference, difference.low, difference.high))
    span = f"(95 % interval {low:+.1f} to {high:+.1f})"
    if low <= 0 <= high:
        return f"The difference between {name_a} and {name_b}, {gap:+.1f} points {span}, is inside the noise."
    comparison = f"{abs(gap):.1f} points {'better' if gap > 0 else 'worse'}"
    return f"On the same texts, {name_a} is {comparison} than {name_b} {span}."
