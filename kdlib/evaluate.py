"""Measuring classifiers: accuracy, agreement, calibration, and paired differences on the same texts."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import special, stats
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from .errors import require


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


def classify(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: list[str], max_length: int) -> torch.Tensor:
    """Logits [batch, K] on the CPU, from texts."""
    return run(model, tokenizer(batch, truncation=True, max_length=max_length, padding=True, return_tensors="pt"))


def run(model: PreTrainedModel, encoded: BatchEncoding) -> torch.Tensor:
    """Logits [batch, K] on the CPU, from padded tokens; the copy waits until a GPU has finished.

    The model gets what its ``forward`` names of the tokenizer's output: DistilBERT takes no token_type_ids.
    """
    parameters = inspect.signature(model.forward).parameters
    names = [name for name in encoded if name in parameters] or ["input_ids", "attention_mask"]
    return model(**{name: encoded[name].to(model.device) for name in names}).logits.cpu()


def predict_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], batch_size: int = 64,
                   max_length: int = 128) -> np.ndarray:  # fmt: skip
    """Logits [n, K] in float32, in the order of ``texts``.

    Batches hold texts of similar length, so that little is spent on padding. The model runs on its own
    device, without dropout, and its mode is restored. Texts are cut after ``max_length`` tokens.

    Raises ``InputError`` for one string in place of a list, and for a text that is not a string.
    """
    texts = check_texts(texts)
    logits = np.zeros((len(texts), int(model.config.num_labels or 0)), np.float32)
    blocks = (tokenizer(texts[i : i + 1000], truncation=True, max_length=max_length).data for i in range(0, len(texts), 1000))
    tokens = [dict(zip(block, text, strict=True)) for block in blocks for text in zip(*block.values(), strict=True)]
    with evaluation_mode(model):
        for rows in batches_by_length([len(text["input_ids"]) for text in tokens], batch_size):
            logits[rows] = run(model, tokenizer.pad([tokens[i] for i in rows], return_tensors="pt")).float().numpy()
    return logits


def batches_by_length(lengths: Sequence[int], size: int) -> list[np.ndarray]:
    """The numbers of the texts, in batches of similar length."""
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def check_texts(texts: Iterable[str]) -> list[str]:
    """The texts as a list; raises ``InputError`` for one string in place of a list, and for a text that is not a string."""
    require(not isinstance(texts, str), "texts is a single string: give a list of strings, such as [text].")
    texts = list(texts)
    for row, text in enumerate(texts):
        require(isinstance(text, str), f"Text {row} is {text!r}, not a string: drop rows without a text.")
    return texts


class EvaluationResult(NamedTuple):
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
        return self._asdict() | {"accuracy_interval": list(self.accuracy_interval)}


def evaluate(labels: ArrayLike, logits: ArrayLike, names: Sequence[str]) -> EvaluationResult:
    """Accuracy, macro-F1, figures of each class, confusion counts and calibration.

    ``labels`` [n] are indices into the K ``names``, ``logits`` are [n, K]. Macro-F1 is the mean over all K
    classes; a class with neither labels nor predictions counts as 0.

    Raises ``InputError`` for unequal lengths, labels that are none of the classes, and logits without a
    finite largest one.
    """
    truth, scores, classes = np.asarray(labels), np.asarray(logits, float), range(len(names))
    check_fit(truth, scores, len(names))
    for row, label in enumerate(truth):
        require(label in classes, f"Label {label} (row {row}) is none of 0 to {len(names) - 1}: drop the rows without a label.")
    finite = np.isfinite(scores.max(-1))
    require(finite.all(), f"Row {finite.argmin()} of the logits is not finite: lower the learning rate.")
    truth, predicted = truth.astype(int), scores.argmax(-1)
    figures = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0)
    hits = int((predicted == truth).sum())
    low, high = stats.binomtest(hits, len(truth)).proportion_ci(method="wilson")
    per_class = pd.DataFrame(figures, ["precision", "recall", "f1", "support"], list(names)).to_dict()
    confusion = confusion_matrix(truth, predicted, labels=classes).tolist()
    error, macro_f1 = expected_calibration_error(special.softmax(scores, axis=-1), truth), float(np.mean(figures[2]))
    return EvaluationResult(len(truth), hits / len(truth), (float(low), float(high)), macro_f1, per_class, confusion, error)


def check_fit(labels: np.ndarray, scores: np.ndarray, classes: int) -> None:
    """Raise ``InputError`` unless labels are [n] and scores [n, classes] with n > 0."""
    fits = labels.ndim == 1 and labels.size and scores.shape == (len(labels), classes)
    require(fits, f"Shapes {labels.shape}, {scores.shape} do not fit: give [n] and [n, {classes}].")


def agreement(logits_a: ArrayLike, logits_b: ArrayLike) -> float:
    """The share of texts on which two models choose the same class; ``InputError`` unless both are [n, K]."""
    choices = np.asarray(logits_a).argmax(-1)
    check_fit(choices, np.asarray(logits_b), np.shape(logits_a)[-1])
    return float((choices == np.asarray(logits_b).argmax(-1)).mean())


def retention(student_accuracy: float, teacher_accuracy: float) -> float:
    """The student's accuracy as a share of the teacher's, which must be above 0 (else ``InputError``)."""
    require(teacher_accuracy > 0, f"The teacher's accuracy is {teacher_accuracy}: compare with a teacher above 0.")
    return student_accuracy / teacher_accuracy


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """How far confidence is from accuracy: ``Σ_b n_b / n · |accuracy_b − confidence_b|``.

    The confidence of a text is its largest probability; bin b holds those in ((b − 1) / bins, b / bins].
    ``probabilities`` are [n, K], ``labels`` [n]; anything else raises ``InputError``.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks", section 2, equation 3.
    """
    shares, truth = np.asarray(probabilities, float), np.asarray(labels)
    check_fit(truth, shares, shares.shape[-1])
    require(np.allclose(shares.sum(-1), 1, atol=1e-4), "The rows do not sum to 1: give the softmax of the logits.")
    return sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in reliability(shares, truth, bins)) / len(truth)


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> list[dict[str, float]]:
    """Mean confidence, accuracy and count ``n`` of each filled bin, which are those of `expected_calibration_error`."""
    confidence, correct = probabilities.max(-1), probabilities.argmax(-1) == labels
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    texts = pd.DataFrame({"confidence": confidence, "accuracy": correct, "n": 1})
    return texts.groupby(place).agg({"confidence": "mean", "accuracy": "mean", "n": "sum"}).to_dict("records")


class PairedDifference(NamedTuple):
    """An accuracy difference a − b on the same texts and its 95 % interval."""

    difference: float
    low: float
    high: float


def paired_gaps(correct_a: ArrayLike, correct_b: ArrayLike) -> np.ndarray:
    """Correct a − correct b as [seeds, n]; ``InputError`` unless both are 0 and 1, [n] or [seeds, n]."""
    a, b = np.asarray(correct_a, float), np.asarray(correct_b, float)
    require(a.shape == b.shape and a.ndim in (1, 2) and a.size, f"The shapes are {a.shape} and {b.shape}: give both as [n] or both as [seeds, n].")
    require(np.isin([a, b], (0, 1)).all(), "Some entries are neither 0 nor 1: give predictions == labels of each model.")
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
    require(np.ndim(correct_a) == 1, f"The shape is {np.shape(correct_a)}: give [n], one seed of each model.")
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
    require(len(gaps) > 1, "There is one text, which has no variance: give at least two.")
    return float(sum(stats.norm.ppf([1 - level / 2, power])) * np.sqrt(gaps.var(ddof=1) / len(gaps)))


def difference(correct_a: np.ndarray, correct_b: np.ndarray) -> dict[str, float]:
    """Accuracy a − b with its paired 95 % interval, McNemar's p (first seed) and what the test set could have shown.

    ``correct_*`` are [seeds, n]; a model with one seed is compared with every seed of the other.
    """
    a, b = np.broadcast_arrays(correct_a, correct_b)
    return paired_bootstrap(a, b)._asdict() | {"mcnemar_p": mcnemar(a[0], b[0]), "smallest_detectable": smallest_detectable_difference(a, b)}


def mean_and_sd(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (n − 1), 0 for one value; raises ``InputError`` for none."""
    require(len(values), "There are no values to take the mean of: give at least one.")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def describe_difference(difference: PairedDifference, name_a: str, name_b: str) -> str:
    """One sentence in percentage points, a − b; "inside the noise" where the interval covers zero."""
    gap, low, high = (100 * share for share in (difference.difference, difference.low, difference.high))
    span = f"(95 % interval {low:+.1f} to {high:+.1f})"
    if low <= 0 <= high:
        return f"The difference between {name_a} and {name_b}, {gap:+.1f} points {span}, is inside the noise."
    return f"On the same texts, {name_a} is {abs(gap):.1f} points {'better' if gap > 0 else 'worse'} than {name_b} {span}."
