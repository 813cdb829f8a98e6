"""E5 before it has seen a label: its embeddings, a logistic regression on them as the teacher of n labels, students cut out of it.

E5 was trained to embed a text as the mean of its last hidden states. So here both teacher and students classify that mean.
"""

import copy
from functools import cache
from typing import Any

import numpy as np
import torch.nn.functional as F
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import BertForSequenceClassification, set_seed
from transformers.modeling_outputs import SequenceClassifierOutput

from kdlib import (
    DistillationArguments,
    add_teacher_outputs,
    experiment,
    load_teacher,
    make_student,
    predict_logits,
    train_classifier,
)
from kdlib.distill import set_dropout

from . import table

BF16 = experiment.fast_bf16()
UNLABELLED, LENGTH = 1200, 64  # texts of the transfer set that students learn from; tokens after which students' texts are cut
WORDS = {"zh": ("差 失望 讨厌 不好", "好 满意 喜欢 推荐"), "en": ("bad terrible boring disappointing", "good excellent wonderful enjoyable"),
         "fr": ("mauvais nul ennuyeux décevant", "bon excellent magnifique passionnant")}  # fmt: skip


class MeanForSequenceClassification(BertForSequenceClassification):
    """BERT with a linear classifier on the mean of its last hidden states."""

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None, **others: Any) -> SequenceClassifierOutput:
        """Logits [B, K], and the cross-entropy with labels where they are given."""
        states, mask = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state, attention_mask[..., None]
        logits = self.classifier(self.dropout((states * mask).sum(1) / mask.sum(1)))
        return SequenceClassifierOutput(None if labels is None else F.cross_entropy(logits, labels), logits)


@cache
def data(language: str) -> Any:
    """The splits of the quick profile, without teacher outputs."""
    return experiment.load_datasets(experiment.Settings(profile="quick", languages=[language]))[language]


@cache
def encoder() -> Any:
    """E5 as it comes, without labels, with a head of random numbers; and its tokenizer."""
    set_seed(0)
    model, tokenizer = load_teacher(adapter=None)
    model.__class__ = MeanForSequenceClassification
    return model, tokenizer


@cache
def embedder() -> Any:
    """The same without a head: what stands for logits are the 384 numbers of the mean."""
    model = copy.deepcopy(encoder()[0])
    model.classifier, model.config.num_labels = nn.Identity(), model.config.hidden_size
    return model


def embed(texts: list[str]) -> np.ndarray:
    """[n, 384], kept on disk like a teacher's outputs. E5 was trained with "query: " before each text."""
    asked = Dataset.from_dict({"text": [f"query: {text}" for text in texts]})
    return np.array(add_teacher_outputs(asked, embedder(), encoder()[1], bf16=BF16)["teacher_logits"], np.float32)


@cache
def embedded(language: str, split: str) -> np.ndarray:
    """The embeddings of a split (of French training texts, which are long, the first 300)."""
    most = {"transfer": UNLABELLED, "train": 300 if language == "fr" else None}
    return embed(list(data(language)[split]["text"])[: most.get(split)])


def draw(language: str, n: int, seed: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Which n training texts have a label, and the labels, a share ``noise`` of them turned over. Of one seed, 50 hold the 16."""
    chosen = np.random.default_rng(seed).permutation(300 if language == "fr" else 1000)[:n]
    labels = np.array(data(language)["train"]["label"])[chosen]
    labels[np.random.default_rng(seed).permutation(n)[: round(noise * n)]] ^= 1
    return chosen, labels


def two(z: np.ndarray) -> np.ndarray:
    """Log odds as two logits."""
    return np.stack([-z / 2, z / 2], 1)


def head(language: str, chosen: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """The teacher of n labels: logistic regression on E5's embeddings, with the library's settings."""
    return LogisticRegression(max_iter=1000).fit(embedded(language, "train")[chosen], labels)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Each row at length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def label_words(language: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The teacher of no label: is a text nearer to the good words or to the bad ones? The difference of cosines as it is, and in
    standard deviations from the median of the transfer set, which supposes that half of all texts are good."""
    bad, good = (unit(embed(words.split())).mean(0) for words in WORDS[language])
    raw, usual = (unit(embedded(language, name)) @ (good - bad) for name in (split, "transfer"))
    return raw, (raw - np.median(usual)) / usual.std()


@cache
def untrained(language: str, more: tuple[str, ...] = ()) -> Any:
    """The student before it learns: E5's first layer with 384 of its 1,536 neurons and 5,000 pieces that the texts use."""
    texts = [*data(language)["train"]["text"], *data(language)["transfer"]["text"], *more]
    return make_student(*encoder(), [0], "trim", texts, intermediate_size=384, vocabulary_size=5000)


def student(language: str, rows: Dataset, seed: int, more: tuple[str, ...] = (), few: bool = False) -> Any:
    """A student of these rows and its tokenizer: of the teacher where they bring its logits, else of the labels.

    Nothing is chosen on validation labels, of which someone with 50 labels has none. Training ends after 150 steps of 32 texts, or, with
    ``few``, after eight epochs in batches of 16, though not before 60 steps.
    """
    model, tokenizer = copy.deepcopy(untrained(language, more)[0]), untrained(language, more)[1]
    steps, batch = (max(60, len(rows) // 2), 16) if few else (150, 32)
    set_dropout(model, 0.0)
    set_seed(seed)
    arguments = DistillationArguments(seed=seed, learning_rate=1e-3, max_steps=steps, per_device_train_batch_size=batch, bf16=BF16,
                                      eval_strategy="no", save_strategy="no", load_best_model_at_end=False)  # fmt: skip
    train_classifier(model, tokenizer, rows, rows.take(8), arguments, LENGTH)
    return model, tokenizer


def judged(language: str, pair: Any) -> dict[str, Any]:
    """A student on the test set."""
    test = data(language)["test"]
    return table.right(test["label"], predict_logits(*pair, list(test["text"]), max_length=LENGTH))


def to_learn(texts: list[str], labels: Any, logits: Any = None) -> Dataset:
    """Rows for `student`; label −1 where there is none."""
    columns = {"text": texts, "label": [int(label) for label in labels]}
    return Dataset.from_dict(columns if logits is None else columns | {"teacher_logits": np.asarray(logits, float).tolist()})
