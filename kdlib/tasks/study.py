"""One recipe for every task: a teacher learns from labels; students with fewer layers learn from labels alone, or from it too.

What differs between tasks is said by their families: ``texts.Labelling``, ``tokens.Tagging``, ``spans.Answering``,
``pairs.Matching`` and ``seq2seq.Writing``. Every training is kept on disk, so that a second call only reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from datasets import Dataset
from safetensors.torch import load_model, save_model
from transformers.trainer_utils import set_seed

from ..distill import DistillationArguments, DistillationTrainer, fingerprint, train_encoded
from ..experiment import digest
from ..files import kept
from ..teachers import freeze


class Task(Protocol):
    """What a family says. ``rows`` are a ``Dataset`` in the form that the family's ``read`` gives."""

    metric: str

    def teacher(self, name: str, rows: Dataset) -> tuple[Any, Any]:
        """The model that is to be the teacher, before it is trained, and its tokenizer."""

    def student(self, teacher: Any, tokenizer: Any, layers: int | Sequence[int], rows: Dataset) -> tuple[Any, Any]:
        """A student before it is trained: some of the teacher's layers, and its vocabulary trimmed to the texts of ``rows``."""

    def encode(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """What ``model`` is trained on: tokens, labels and, where the rows bring them, the teacher's outputs."""

    def collator(self, tokenizer: Any) -> Callable[..., Any]:
        """How encoded rows become a batch."""

    def teach(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """The rows with the teacher's outputs (column ``teacher_logits``)."""

    def predict(self, model: Any, tokenizer: Any, rows: Dataset) -> Sequence[Any]:
        """A prediction a row."""

    def counts(self, rows: Dataset, predictions: Sequence[Any]) -> np.ndarray:
        """[rows, k]: what is counted of each row; ``score`` makes one number of any number of rows."""

    def score(self, counts: np.ndarray) -> float:
        """The metric, 0 to 1."""


def train(task: Task, model: Any, tokenizer: Any, rows: Dataset, frozen_layers: int | None = None, seed: int = 0,
          trainer: type[DistillationTrainer] = DistillationTrainer, **arguments: Any) -> Any:  # fmt: skip
    """Train in place, or read the weights of the same training from the disk, and return the model.

    It learns from the labels alone where the rows have no ``teacher_logits``. ``frozen_layers``: embeddings and so many of the lowest
    layers stay as they are (None: nothing is frozen). ``trainer`` may have a loss of its own. ``arguments`` go to ``DistillationArguments``.
    The last epoch's weights are kept.
    """
    taught = "teacher_logits" in rows.column_names
    args = DistillationArguments(**{"seed": seed, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False,
                                    "remove_unused_columns": False, **arguments})  # fmt: skip
    args = args if taught else replace(args, alpha=0.0)
    key = digest("task", fingerprint(model, tokenizer), type(model).__name__, vars(task), rows.to_dict(), frozen_layers, seed, sorted(arguments.items()),
                 *([] if trainer is DistillationTrainer else [trainer.__name__]))  # fmt: skip

    def build(folder: Any) -> None:
        set_seed(seed)
        if frozen_layers is not None:
            freeze(model, frozen_layers)
        train_encoded(model, task.encode(model, tokenizer, rows), args, task.collator(tokenizer), trainer)
        save_model(model, str(folder / "model.safetensors"))

    load_model(model, str(kept("tasks", key, build) / "model.safetensors"))
    return model.eval()


def bootstrap(task: Task, first: Sequence[np.ndarray], second: Sequence[np.ndarray] | None = None, resamples: int = 1000) -> dict[str, float]:
    """The mean score of a model's seeds, or the difference of two models' means, with its 95 % interval over resampled rows.

    ``first`` and ``second`` are a list of ``counts`` each, one for each seed, of the same rows.
    Source: Koehn (2004), "Statistical Significance Tests for Machine Translation Evaluation", section 3.
    """

    def value(chosen: Any) -> float:
        means = [np.mean([task.score(counts[chosen]) for counts in runs]) for runs in (first, second) if runs is not None]
        return float(means[0] - means[1] if len(means) > 1 else means[0])

    draw, n = np.random.default_rng(0), len(first[0])
    low, high = np.quantile([value(draw.integers(0, n, n)) for _ in range(resamples)], (0.025, 0.975))
    return {"value": value(np.arange(n)), "low": float(low), "high": float(high)}


def parameters(model: Any) -> int:
    """How many numbers a model has learnt."""
    return sum(parameter.numel() for parameter in model.parameters())
