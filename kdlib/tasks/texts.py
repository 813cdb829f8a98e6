"""One label a text or a marked pair of names, as a task of this folder: what ``kdlib.distill`` does, in the form of the others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import DataCollatorWithPadding

from ..distill import encode
from ..evaluate import predict_logits
from ..students import make_student
from ..teachers import load_teacher


class Labelling:
    """Rows have ``text`` and ``label``, the number of one of ``names`` (−1: none). The score is the accuracy."""

    metric = "accuracy"

    def __init__(self, names: Sequence[str], max_length: int = 64) -> None:
        self.names, self.max_length = list(names), max_length

    def teacher(self, name: str, rows: Dataset) -> tuple[Any, Any]:
        """A classifier with a new head, and its tokenizer."""
        return load_teacher(name, label_names=self.names, adapter=None)

    def student(self, teacher: Any, tokenizer: Any, layers: int | Sequence[int], rows: Dataset) -> tuple[Any, Any]:
        """Fewer layers of the teacher, its vocabulary trimmed to the texts."""
        return make_student(teacher, tokenizer, layers, texts=rows["text"])

    def encode(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """Tokens, labels and the teacher's logits."""
        return encode(rows, tokenizer, self.max_length)

    def collator(self, tokenizer: Any) -> Any:
        """Padding to a length that 8 divides."""
        return DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)

    def teach(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """The rows with the teacher's logits [K]."""
        return rows.add_column("teacher_logits", self.predict(model, tokenizer, rows).tolist())

    def predict(self, model: Any, tokenizer: Any, rows: Dataset) -> np.ndarray:
        """Logits [rows, K]."""
        return predict_logits(model, tokenizer, rows["text"], max_length=self.max_length)

    def counts(self, rows: Dataset, predictions: Sequence[Any]) -> np.ndarray:
        """1 where the label is right, else 0."""
        return (np.argmax(predictions, -1) == np.array(rows["label"])).astype(float)[:, None]

    def score(self, counts: np.ndarray) -> float:
        """The share that is right."""
        return float(counts.mean())
