"""Notebook 12: what 16 to 1,000 labels are worth, to a student, to a teacher, and to a student of that teacher.

No model has seen more labels than its row says. So the teacher is not the kit's (but where a row says so): it is the frozen E5 with a
logistic regression on the labels of the row (`frozen`).
"""

import csv
import random
from functools import cache
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from transformers import set_seed

from kdlib import add_teacher_outputs, finetune_teacher, load_reviews, load_teacher, predict_logits
from kdlib.corpora import MIN_RATING, SHINGLE, clean, normalise, stable_order, without_copies
from kdlib.data import sample_spans
from kdlib.sources import fetch

from . import frozen, table
from .frozen import BF16, LENGTH, UNLABELLED, data, draw, embed, embedded, head, judged, label_words, student, to_learn, two


def curve(language: str, model: str, labels: int, seed: int, noise: float = 0.0, targets: str = "soft", augment: str = "",
          text: str = "transfer") -> dict[str, Any]:  # fmt: skip
    """One model of so many labels. ``targets`` of the distilled student: soft, hard (the teacher's class), confident (its class, of the third of
    the texts where it is surest), third (of a third at random). ``augment``: five changed copies of each labelled text; ``text``: transfer, or
    changed copies of the labelled ones alone."""
    train, test = data(language)["train"], data(language)["test"]
    chosen, given = draw(language, labels, seed, noise)
    texts = list(train.select(chosen)["text"])
    if model == "words":
        pieces: dict[str, Any] = {"analyzer": "char", "ngram_range": (1, 4)} if language == "zh" else {"ngram_range": (1, 2)}
        found = make_pipeline(TfidfVectorizer(sublinear_tf=True, **pieces), LogisticRegression(C=10, max_iter=1000)).fit(texts, given)
        return table.right(test["label"], two(found.decision_function(list(test["text"]))))
    if model == "labels_only":
        more, same = changed(texts, given, augment, seed) if augment else ([], [])
        return judged(language, student(language, to_learn(texts + more, [*given, *same]), seed, few=True)) | {"learnt_from": len(texts + more)}
    teacher = head(language, chosen, given)
    if model == "teacher":
        return table.right(test["label"], two(teacher.decision_function(embedded(language, "test"))))
    if text == "transfer":
        others, vectors = list(data(language)["transfer"].take(UNLABELLED)["text"]), embedded(language, "transfer")
    else:
        others = changed(texts, given, text, seed)[0]
        vectors = embed(others)
    logits = two(teacher.decision_function(vectors))
    if targets == "soft":
        own = to_learn(texts, given, two(teacher.decision_function(embedded(language, "train")[chosen])))
        rows = concatenate_datasets([own, to_learn(others, [-1] * len(others), logits)])
    else:
        order = np.argsort(-np.abs(logits[:, 1]), kind="stable") if targets == "confident" else np.arange(len(others))
        sure = order[: None if targets == "hard" else len(others) // 3]
        rows = to_learn(texts + [others[i] for i in sure], [*given, *logits.argmax(-1)[sure]])
    return judged(language, student(language, rows, seed)) | {"learnt_from": len(rows)}


def changed(texts: list[str], labels: Any, how: str, seed: int, copies: int = 5) -> tuple[list[str], list[int]]:
    """New texts made of old ones, with their labels: ``spans`` (one to four sentences in a row) or ``characters`` (a tenth left out)."""
    if how == "spans":
        rows: Any = [{"text": text, "id": str(i), "source": str(label)} for i, (text, label) in enumerate(zip(texts, labels, strict=True))]
        made = sample_spans(rows, copies * len(texts), seed)
        return [row["text"] for row in made], [int(row["source"]) for row in made]
    left = random.Random(seed).random
    return ["".join(c for c in text if left() >= 0.1) for text in texts * copies], [int(label) for label in labels] * copies


def free(language: str, model: str, teacher: str, seed: int) -> dict[str, Any]:
    """No label of our own: the teacher is ``label words``, or the ``kit``'s, which others have fine-tuned; the student sees transfer text only."""
    test, others = data(language)["test"], data(language)["transfer"].take(UNLABELLED)
    if teacher == "kit":
        taught = table.taught(language)[0]
        logits, tested = np.array(taught["transfer"]["teacher_logits"])[:UNLABELLED], np.array(taught["test"]["teacher_logits"])
        raw = {}
    else:
        logits, tested = (two(label_words(language, split)[1]) for split in ("transfer", "test"))
        raw = {"raw": table.right(test["label"], two(label_words(language, "test")[0]))["accuracy"]}
    if model == "teacher":
        return table.right(test["label"], tested) | raw
    return judged(language, student(language, to_learn(list(others["text"]), [-1] * len(others), logits), seed))


def active(language: str, strategy: str, seed: int) -> dict[str, Any]:
    """From 16 random labels to 32, 64, 128, 256: each time add those of which the teacher is least sure (``uncertain``), or ``random`` ones."""
    order, labels, test = np.random.default_rng(seed).permutation(1000), np.array(data(language)["train"]["label"]), data(language)["test"]
    chosen, found = order[:16], {}
    for size in (32, 64, 128, 256, 256):
        teacher = head(language, chosen, labels[chosen])
        found[len(chosen)] = table.right(test["label"], two(teacher.decision_function(embedded(language, "test"))))
        rest = order[~np.isin(order, chosen)]
        if strategy == "uncertain":
            rest = rest[np.argsort(np.abs(teacher.decision_function(embedded(language, "train")[rest])), kind="stable")]
        chosen = np.concatenate([chosen, rest[: size - len(chosen)]])
    return {"accuracies": {str(size): one["accuracy"] for size, one in found.items()}, **found[64]}


@cache
def tweets() -> tuple[list[str], Dataset]:
    """1,200 tweets without labels and a test set of 1,000, as in notebook 09."""
    with fetch("en")["tweets.txt"].open(encoding="utf-8") as file:
        rows = [(clean(text), float(rating)) for _, rating, text in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    found = {normalise(text): (text, rating) for text, rating in reversed(rows)}
    keys = sorted((key for key in without_copies(found, SHINGLE["en"]) if len(key) >= 4), key=stable_order)
    rated = [key for key in keys if abs(found[key][1]) >= MIN_RATING][:1000]
    unlabelled = [found[key][0] for key in keys if key not in set(rated)][:UNLABELLED]
    return unlabelled, to_learn([found[key][0] for key in rated], [found[key][1] > 0 for key in rated])


@cache
def pool(name: str) -> Dataset:
    """1,200 English texts without labels of one domain, with the outputs of the kit's teacher."""
    rows = tweets()[0] if name == "tweets" else [row["text"] for row in load_reviews("en")["transfer"] if row["source"] == name][:UNLABELLED]
    return add_teacher_outputs(to_learn(rows, [-1] * len(rows)), *table.taught("en")[1], bf16=BF16)


def domain(texts: dict[str, int], seed: int) -> dict[str, Any]:
    """A student of so many unlabelled texts of films, of Amazon, of Twitter (of none: the kit's teacher, which labels them), judged on each."""
    test = data("en")["test"]
    tests = {name: test.filter(lambda row, name=name: row["source"] == name) for name in ("movie", "amazon")} | {"tweets": tweets()[1]}
    pair = table.taught("en")[1]
    if texts:
        rows = concatenate_datasets([pool(name).take(count) for name, count in texts.items()])
        pair = student("en", rows, seed, tuple(tweets()[0]))
    return {name: table.right(part["label"], predict_logits(*pair, list(part["text"]), max_length=LENGTH)) for name, part in tests.items()}


def finetuned(language: str, labels: int, seed: int, mean: bool = False) -> dict[str, Any]:
    """E5 fine-tuned (LoRA, 30 steps of 16 texts), beside the frozen one with a logistic regression on the same labels; 300 test texts.
    The head is a new pooler on <s> with a classifier, as of the kit's teacher, or (``mean``) a classifier on the mean."""
    chosen, given = draw(language, labels, seed)
    test, rows = data(language)["test"].take(300), to_learn(list(data(language)["train"].select(chosen)["text"]), given)
    set_seed(seed)
    model, tokenizer = load_teacher(adapter=None)
    if mean:
        model.__class__ = frozen.MeanForSequenceClassification
    model = finetune_teacher(model, tokenizer, rows, rows.take(8), max_length=LENGTH, seed=seed, max_steps=30, per_device_train_batch_size=16,
                             bf16=BF16, eval_strategy="no", save_strategy="no", load_best_model_at_end=False)  # fmt: skip
    still = table.right(test["label"], two(head(language, chosen, given).decision_function(embedded(language, "test")[:300])))
    return table.right(test["label"], predict_logits(model, tokenizer, list(test["text"]))) | {"frozen": still["accuracy"]}


PARTS = {"curve": curve, "noise": curve, "targets": curve, "augment": curve, "free": free, "active": active, "domain": domain, "finetuned": finetuned}


def figures(part: str, **settings: Any) -> dict[str, Any]:
    """What one row of the table says."""
    return PARTS[part](**settings)


MODELS, SEEDS, CHANGES = ("words", "teacher", "labels_only", "distilled"), (0, 1, 2), ("spans", "characters")
COUNTS = {"zh": (16, 50, 100, 250, 1000), "en": (16, 50, 250, 1000), "fr": (16, 50, 250)}
TEXTS = ({"movie": 1200}, {"amazon": 1200}, {"tweets": 1200}, {"movie": 400, "amazon": 400, "tweets": 400}, {"amazon": 100},
         {"amazon": 100, "movie": 1100}, {"amazon": 100, "tweets": 1100}, {"amazon": 1200, "movie": 1200})  # fmt: skip
ROWS: list[dict[str, Any]] = [
    *({"part": "curve", "language": "zh", "model": model, "labels": n, "seed": seed} for seed in SEEDS for n in COUNTS["zh"] for model in MODELS),
    *({"part": "free", "language": "zh", "model": model, "teacher": teacher, "seed": 0} for teacher in ("label words", "kit") for model in MODELS[1::2]),
    *({"part": "active", "language": "zh", "strategy": strategy, "seed": seed} for strategy in ("random", "uncertain") for seed in range(10)),
    *({"part": "targets", "language": "zh", "model": "distilled", "labels": 50, "seed": seed, "targets": targets}
      for seed in SEEDS for targets in ("hard", "confident")),
    *({"part": "noise", "language": "zh", "model": model, "labels": 250, "seed": 0, "noise": noise} for noise in (0.1, 0.2, 0.3, 0.4) for model in MODELS[1:]),
    *({"part": "domain", "texts": texts, "seed": 0} for texts in ({}, *TEXTS)),
    *({"part": "augment", "language": "zh", "model": "labels_only", "labels": 100, "seed": seed, "augment": how} for seed in SEEDS for how in CHANGES),
    *({"part": "finetuned", "language": "zh", "labels": n, "seed": 0} | mean for mean in ({}, {"mean": True}) for n in (16, 64)),
    *({"part": "curve", "language": "en", "model": model, "labels": n, "seed": 0} for n in COUNTS["en"] for model in MODELS),
    *({"part": "augment", "language": "zh", "model": "distilled", "labels": 100, "seed": seed, "text": how} for seed in SEEDS for how in CHANGES),
    *({"part": "curve", "language": "fr", "model": model, "labels": n, "seed": 0} for n in COUNTS["fr"] for model in MODELS),
    *({"part": "free", "language": language, "model": model, "teacher": teacher, "seed": 0}
      for language in ("en", "fr") for teacher in ("label words", "kit") for model in MODELS[1::2]),
    *({"part": "targets", "language": "zh", "model": "distilled", "labels": labels, "seed": seed, "targets": targets}
      for labels, targets in ((50, "third"), (250, "hard")) for seed in SEEDS),
    *({"part": "domain", "texts": texts, "seed": 1} for texts in TEXTS),
]  # fmt: skip
