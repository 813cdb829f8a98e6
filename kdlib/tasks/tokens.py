"""Sequence labelling, a tag a word: how words become tokens, which positions count, how tags become entities, how they are scored.

A word's tag is read at its first piece; its other pieces and the special tokens count in no loss. The teacher's outputs are
kept a row of logits a *word*, so the student may cut the words with any tokenizer.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForTokenClassification, PreTrainedModel, PreTrainedTokenizerBase

from ..errors import require
from ..evaluate import evaluation_mode
from ..files import progress, read_text
from ..students import make_student
from ..teachers import load_with_head

Entity = tuple[int, int, str]  # first word, word after the last, type


def tag_names(types: Iterable[str]) -> list[str]:
    """The tags of the scheme BIO: ``O``, and for each type ``B-`` (its first word) and ``I-`` (a further one)."""
    return ["O", *(f"{place}-{kind}" for kind in types for place in "BI")]


def read_conll(path: str | Path) -> Dataset:
    """A file of one word a line, its tag in the last column, sentences parted by blank lines: rows with ``words`` and ``tags`` (strings).

    Raises ``InputError``, with the number of the line: no tag, a tag outside of BIO, an entity that begins with ``I-``; a file that is
    not UTF-8, or holds no sentence.
    """
    file, lines = Path(path), read_text(path, "a CoNLL file, a word and its tag a line").split("\n")
    sentences: list[dict[str, list[str]]] = [{"words": [], "tags": []}]
    for number, line in enumerate(lines, 1):
        columns = line.split()
        if not columns or columns[0] == "-DOCSTART-":
            sentences.append({"words": [], "tags": []})
            continue
        where = f"{file}, line {number}"
        require(len(columns) >= 2, f"{where}: {line!r} has no tag: write the word, a space or tab, and its tag.")
        words, tags, tag = sentences[-1]["words"], sentences[-1]["tags"], columns[-1]
        require(tag == "O" or (tag[:2] in ("B-", "I-") and len(tag) > 2), f"{where}: the tag {tag!r} is not O, B-… or I-…: write it in the scheme BIO.")
        begun = tag[:2] != "I-" or (bool(tags) and tags[-1][2:] == tag[2:] and tags[-1] != "O")
        require(begun, f"{where}: {tag} follows {tags[-1] if tags else 'the beginning of a sentence'}: the first word of an entity has B-{tag[2:]}.")
        words.append(columns[0])
        tags.append(tag)
    rows = [sentence for sentence in sentences if sentence["words"]]
    require(rows, f"{file} holds no sentence: a word and its tag a line are asked.")
    return Dataset.from_list(rows)


def first_pieces(encoded: Any, row: int) -> list[int]:
    """The positions of the first piece of each word of a row; a word that was cut off has none."""
    words = encoded.word_ids(row)
    return [place for place, (word, before) in enumerate(zip(words, [None, *words], strict=False)) if word is not None and word != before]


def cut(tokenizer: PreTrainedTokenizerBase, sentences: Sequence[Sequence[str]], max_length: int) -> Any:
    """The tokens of sentences given as words. Raises ``InputError`` for a sentence that is too long, and for a word without a piece."""
    encoded = tokenizer([list(words) for words in sentences], is_split_into_words=True)
    for row, words in enumerate(sentences):
        length, found = len(encoded["input_ids"][row]), len(first_pieces(encoded, row))
        require(length <= max_length, f"The sentence {' '.join(words)[:60]!r}… has {length} tokens, more than {max_length}: split it, or raise max_length.")
        require(found == len(words), f"A word of {' '.join(words)[:60]!r} has no piece (is it white space?): leave it out.")
    return encoded


def encode_words(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, names: Sequence[str], max_length: int = 128) -> Dataset:
    """Tokens for training, from ``words``, ``tags`` (where there are some) and ``teacher_logits`` [words, K] (where there are some).

    Columns: input_ids, attention_mask; ``labels`` [S], the number of the tag at the first piece of each word, −100 elsewhere and
    where the row has no tags; ``loss_mask`` [S], 1 at first pieces; ``teacher_logits`` [S, K], the word's at its first piece.
    """

    def one_batch(batch: Mapping[str, Any]) -> dict[str, Any]:
        encoded = cut(tokenizer, batch["words"], max_length)
        found: dict[str, Any] = {name: encoded[name] for name in ("input_ids", "attention_mask")} | {"labels": [], "loss_mask": []}
        for row, ids in enumerate(encoded["input_ids"]):
            places, tags = first_pieces(encoded, row), batch["tags"][row] if "tags" in batch else None
            labels, mask = np.full(len(ids), -100), np.zeros(len(ids), int)
            mask[places] = 1
            if tags:
                labels[places] = [names.index(tag) for tag in tags]
            found["labels"].append(labels.tolist())
            found["loss_mask"].append(mask.tolist())
            if "teacher_logits" in batch:
                logits = np.zeros((len(ids), len(names)), np.float32)
                logits[places] = batch["teacher_logits"][row]
                found.setdefault("teacher_logits", []).append(logits.tolist())
        return found

    return dataset.map(one_batch, batched=True, remove_columns=dataset.column_names, keep_in_memory=True)


def word_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[Sequence[str]], batch_size: int = 32,
                max_length: int = 128) -> list[np.ndarray]:  # fmt: skip
    """What a model says about each word: an array [words, K] a sentence, in float32, in their order."""
    order = sorted(range(len(sentences)), key=lambda i: sum(map(len, sentences[i])))
    found: list[Any] = [None] * len(sentences)
    with evaluation_mode(model):
        for start in progress(range(0, len(order), batch_size), "words labelled"):
            rows = order[start : start + batch_size]
            encoded = cut(tokenizer, [sentences[row] for row in rows], max_length)
            batch = tokenizer.pad({name: encoded[name] for name in ("input_ids", "attention_mask")}, return_tensors="pt").to(model.device)
            logits = model(**batch).logits.float().cpu().numpy()
            for place, row in enumerate(rows):
                found[row] = logits[place, first_pieces(encoded, place)]
    return found


def entities(tags: Sequence[str]) -> set[Entity]:
    """The entities that the tags spell. A model may write ``I-`` where ``B-`` is due: it then begins an entity, as in CoNLL's own scoring."""
    found, start = set(), 0
    for place, tag in enumerate([*tags, "O"]):
        before = tags[place - 1] if place else "O"
        if before != "O" and (tag[:2] != "I-" or tag[2:] != before[2:]):
            found.add((start, place, before[2:]))
        if tag != "O" and (tag[:2] == "B-" or before[2:] != tag[2:]):
            start = place
    return found


def entity_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support by type, and over all (``micro``): an entity counts if first word, last word and type are right.

    F1 = 2PR/(P + R); a share of nothing is 0. Source: Tjong Kim Sang and De Meulder (2003), "CoNLL-2003 shared task", section 2.3.
    """
    require(len(gold) == len(predicted), f"{len(gold)} sentences have tags and {len(predicted)} have predictions: give both for the same.")
    pairs = [(entities(truth), entities(said)) for truth, said in zip(gold, predicted, strict=True)]
    kinds = sorted({kind for both in pairs for side in both for *_, kind in side})

    def score(kind: str | None) -> dict[str, float]:
        sides = [[{one for one in side if kind in (None, one[2])} for side in both] for both in pairs]
        right, known, said = (sum(map(len, part)) for part in ([a & b for a, b in sides], [a for a, _ in sides], [b for _, b in sides]))
        precision, recall = right / max(said, 1), right / max(known, 1)
        return {"precision": precision, "recall": recall, "f1": 2 * right / max(known + said, 1), "support": known}

    return {kind: score(kind) for kind in kinds} | {"micro": score(None)}


def pad_columns(tokenizer: PreTrainedTokenizerBase, multiple: int | None = 8) -> Any:
    """A collator: pads ids as the tokenizer does, ``labels`` with −100, and any other column along its first axis with zeros."""

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        ids = [{name: row[name] for name in ("input_ids", "attention_mask")} for row in rows]
        batch = dict(tokenizer.pad(ids, padding=True, pad_to_multiple_of=multiple, return_tensors="pt"))
        length = batch["input_ids"].shape[1]
        for name in set(rows[0]) - set(ids[0]):
            parts = [torch.as_tensor(np.asarray(row[name])) for row in rows]
            if len(parts[0]) != len(rows[0]["input_ids"]):  # the beginning and the end of an answer, not a value for each token
                batch[name] = torch.stack(parts)
                continue
            full = parts[0].new_full((len(rows), length, *parts[0].shape[1:]), -100 if name == "labels" else 0)
            for row, part in zip(full, parts, strict=True):
                row[: len(part)] = part
            batch[name] = full.float() if full.is_floating_point() else full
        return batch

    return collate


class Tagging:
    """Rows have ``words`` and ``tags`` (none: an empty list, or no such column). The score is F1 over entities of all types."""

    metric = "F1"

    def __init__(self, types: Sequence[str], max_length: int = 128) -> None:
        self.names, self.max_length = tag_names(types), max_length

    def teacher(self, name: str, rows: Dataset) -> tuple[Any, Any]:
        """A token classifier with a new head, and its tokenizer."""
        return load_with_head(AutoModelForTokenClassification, name, id2label=dict(enumerate(self.names)), label2id={n: i for i, n in enumerate(self.names)})

    def student(self, teacher: Any, tokenizer: Any, layers: int | Sequence[int], rows: Dataset) -> tuple[Any, Any]:
        """Fewer layers of the teacher, its vocabulary trimmed to the words."""
        return make_student(teacher, tokenizer, layers, texts=[" ".join(words) for words in rows["words"]])

    def encode(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """As ``encode_words``."""
        return encode_words(rows, tokenizer, self.names, self.max_length)

    def collator(self, tokenizer: Any) -> Any:
        """As ``pad_columns``."""
        return pad_columns(tokenizer)

    def teach(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """The rows with the teacher's logits, [words, K] a row."""
        found = word_logits(model, tokenizer, rows["words"], max_length=self.max_length)
        return rows.add_column("teacher_logits", [logits.tolist() for logits in found])

    def predict(self, model: Any, tokenizer: Any, rows: Dataset) -> list[list[str]]:
        """The likeliest tag of each word."""
        found = word_logits(model, tokenizer, rows["words"], max_length=self.max_length)
        return [[self.names[i] for i in logits.argmax(-1)] for logits in found]

    def counts(self, rows: Dataset, predictions: Sequence[Any]) -> np.ndarray:
        """Of each sentence the number of entities that are right, that there are, and that were found."""
        pairs = [(entities(truth), entities(said)) for truth, said in zip(rows["tags"], predictions, strict=True)]
        return np.array([[len(truth & said), len(truth), len(said)] for truth, said in pairs], float)

    def score(self, counts: np.ndarray) -> float:
        """F1 = 2 · right / (there + found)."""
        right, known, said = counts.sum(0)
        return float(2 * right / max(known + said, 1))
