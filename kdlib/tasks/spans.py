"""Extractive question answering: where in a passage an answer begins and ends, or that the passage does not say.

Question and passage become one sequence; a long passage becomes several windows that overlap. The model gives each position two
logits, as a beginning and as an end; the first position, ``<s>``, stands for "no answer". Teacher and student must cut the text
alike, as a student with a trimmed vocabulary does on the texts that it was trimmed to.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import AutoModelForQuestionAnswering, PreTrainedModel, PreTrainedTokenizerBase

from ..distill import SHUT
from ..errors import explained, require
from ..evaluate import evaluation_mode
from ..files import progress, read_text
from ..students import make_student
from ..teachers import load_with_head
from .tokens import pad_columns


def read_squad(path: str | Path, labelled: bool = True) -> Dataset:
    """A file of the form of SQuAD (1.1 or 2.0): rows with ``context``, ``question``, ``answer_start`` and ``answer_text`` (None: no answer).

    With ``labelled=False`` answers are not read, and need not be there.
    Raises ``InputError``, with the question: no such fields, an empty passage or question, or an answer that does not stand where
    ``answer_start`` says.
    """
    text = read_text(path, "a JSON file of the form of SQuAD")
    remedy = "write data, paragraphs, context, qas, question, answers as there"
    with explained(f"{path} is not of the form of SQuAD", remedy, LookupError, TypeError, ValueError, RecursionError):
        rows = [{"context": paragraph["context"], "question": entry["question"], **first_answer(entry if labelled else {"answers": []})}
                for article in json.loads(text)["data"] for paragraph in article["paragraphs"] for entry in paragraph["qas"]]  # fmt: skip
    require(rows, f"{path} holds no question: data has none in its paragraphs.")
    for number, row in enumerate(rows, 1):
        for name in ("context", "question"):
            require(isinstance(row[name], str) and row[name].strip(), f"{path}: question {number} has an empty {name}: leave it out.")
        check_answer(row, f"{path}, question {number}: ")
    return Dataset.from_list(rows)


def first_answer(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The first of the answers of a question, none where it is marked as impossible or has none."""
    answers = [] if entry.get("is_impossible") else entry["answers"]
    return {"answer_start": answers[0]["answer_start"], "answer_text": answers[0]["text"]} if answers else {"answer_start": None, "answer_text": None}


def check_answer(row: Mapping[str, Any], where: str = "") -> None:
    """Raise ``InputError``, which ``where`` begins, unless the answer stands in the passage at its place, or there is none."""
    start, text = row["answer_start"], row["answer_text"]
    if text is not None:
        which = f"{where}the answer {text!r} to {row['question']!r}"
        require(isinstance(text, str) and type(start) is int, f"{which} begins at {start!r}: give a text, and a number of characters.")
        found = row["context"][start : start + len(text)]
        stands, remedy = start >= 0 and text and found == text, "count its characters from 0"
        require(stands, f"{which} does not stand at {start}, where the passage has {found!r}: {remedy}.")


def encode_questions(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int = 256, stride: int = 64) -> Dataset:
    """Windows for training and prediction: ``question`` and ``context`` cut after ``max_length`` tokens, with ``stride`` tokens in common.

    Columns: input_ids, attention_mask; ``labels`` [2], the positions of the answer's first and last token, 0 and 0 where the window does
    not hold all of it or there is none, −100 where the row has no column ``answer_text``; ``loss_mask`` [S], 1 where an answer may begin
    or end; ``example``, the number of the row; ``offsets`` [S, 2], the characters of each token.
    """
    labelled = "answer_text" in dataset.column_names
    found: dict[str, list[Any]] = {name: [] for name in ("input_ids", "attention_mask", "labels", "loss_mask", "example", "offsets")}
    for number, row in enumerate(dataset):
        question = tokenizer(row["question"])["input_ids"]
        require(len(question) + stride + 8 < max_length, f"The question {row['question'][:60]!r}… leaves no room for the passage in {max_length} tokens.")
        windows = tokenizer(row["question"], row["context"], truncation="only_second", max_length=max_length, stride=stride,
                            return_overflowing_tokens=True, return_offsets_mapping=True)  # fmt: skip
        for window, ids in enumerate(windows["input_ids"]):
            inside = np.array([part == 1 for part in windows.sequence_ids(window)])
            offsets = np.array(windows["offset_mapping"][window])
            labels = [-100, -100]
            if labelled:
                labels = [0, 0]
                if row["answer_text"] is not None:
                    start, end = row["answer_start"], row["answer_start"] + len(row["answer_text"])
                    holds = np.flatnonzero(inside & (offsets[:, 0] < end) & (offsets[:, 1] > start))
                    if len(holds) and offsets[holds[0], 0] <= start and offsets[holds[-1], 1] >= end:
                        labels = [int(holds[0]), int(holds[-1])]
            allowed = inside.astype(int)
            allowed[0] = 1
            values = ids, windows["attention_mask"][window], labels, allowed.tolist(), number, offsets.tolist()
            for name, value in zip(found, values, strict=True):
                found[name].append(value)
    return Dataset.from_dict(found)


def window_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, windows: Dataset, batch_size: int = 32) -> list[np.ndarray]:
    """What a model says about each window: an array [S, 2] a window, the logits of beginning and end."""
    order, found = np.argsort([len(ids) for ids in windows["input_ids"]], kind="stable"), [np.zeros((0, 2))] * len(windows)
    collate = pad_columns(tokenizer)
    with evaluation_mode(model):
        for begin in progress(range(0, len(order), batch_size), "windows read"):
            rows = [windows[int(i)] for i in order[begin : begin + batch_size]]
            batch = collate([{name: row[name] for name in ("input_ids", "attention_mask")} for row in rows])
            outputs = model(**{name: value.to(model.device) for name, value in batch.items()})
            both = np.stack([outputs.start_logits.float().cpu().numpy(), outputs.end_logits.float().cpu().numpy()], -1)
            for place, row in enumerate(order[begin : begin + batch_size]):
                found[row] = both[place, : len(rows[place]["input_ids"])]
    return found


def add_teacher_logits(windows: Dataset, teacher_logits: Sequence[np.ndarray]) -> Dataset:
    """The windows with a column ``teacher_logits`` [S, 2]. Raises ``InputError`` where teacher and student do not cut the text alike."""
    for number, (ids, logits) in enumerate(zip(windows["input_ids"], teacher_logits, strict=True)):
        require(len(ids) == len(logits), f"Window {number} has {len(ids)} tokens for the student and {len(logits)} for the teacher: trim to these texts.")
    return windows.add_column("teacher_logits", [logits.tolist() for logits in teacher_logits])


def best_spans(windows: Dataset, logits: Sequence[np.ndarray], contexts: Sequence[str], longest: int = 30) -> list[tuple[float, str | None]]:
    """The best span of each question over its windows: by how much it scores above "no answer", and its text (None: no passage was left).

    The score of a span is its beginning's logit plus its end's, less that of position 0 in the same window; at most ``longest`` tokens.
    Source: Devlin et al. (2019), "BERT", section 4.3.
    """
    best: list[tuple[float, str | None]] = [(-np.inf, None)] * len(contexts)
    for window, values in zip(windows, logits, strict=True):
        shut = np.where(np.array(window["loss_mask"]) == 1, 0.0, SHUT)[:, None]
        start, end = (np.asarray(values, float) + shut).T
        spans = np.triu(start[1:, None] + end[None, 1:]) + np.tril(np.full((len(start) - 1,) * 2, SHUT), -1)
        spans = spans + np.triu(np.full_like(spans, SHUT), longest)
        first, last = np.unravel_index(spans.argmax(), spans.shape)
        score = float(spans[first, last] - start[0] - end[0])
        offsets, number = window["offsets"], window["example"]
        if score > best[number][0]:
            best[number] = score, contexts[number][offsets[first + 1][0] : offsets[last + 1][1]]
    return best


def answers(windows: Dataset, logits: Sequence[np.ndarray], contexts: Sequence[str], longest: int = 30, threshold: float = 0.0) -> list[str | None]:
    """The best answer to each question, as ``best_spans`` finds it, or None where "no answer" scores more than ``threshold`` above it."""
    return [said if score > -threshold else None for score, said in best_spans(windows, logits, contexts, longest)]


def normalised(text: str, language: str) -> list[str]:
    """What of an answer is compared: words without case, signs and (in English and French) articles; in Chinese single characters."""
    folded = unicodedata.normalize("NFKC", text).lower()
    plain = "".join(c if unicodedata.category(c)[0] not in "PS" or c in "%€$£" else " " for c in folded)
    if language == "zh":
        return [c for c in plain if not c.isspace()]
    articles = {"en": r"\b(a|an|the)\b", "fr": r"\b(le|la|les|l|un|une|des|du|de la)\b"}.get(language, r"\b\B")
    return re.sub(articles, " ", plain).split()


def answer_scores(gold: Sequence[str | None], predicted: Sequence[str | None], language: str) -> dict[str, np.ndarray]:
    """Exact match and F1 of each question, 0 to 1; where there is no answer, both are 1 if none was given.

    F1 counts the words that both have. Source: Rajpurkar et al. (2016), "SQuAD", section 6.1; (2018), "Know What You Don't Know".
    """
    exact, overlap = [], []
    for truth, said in zip(gold, predicted, strict=True):
        a, b = ([] if one is None else normalised(one, language) for one in (truth, said))
        common = sum((Counter(a) & Counter(b)).values())
        exact.append(float(a == b))
        overlap.append(float(a == b) if not (a and b) else 2 * common / (len(a) + len(b)))
    return {"exact": np.array(exact), "f1": np.array(overlap)}


class Answering:
    """Rows have ``context``, ``question``, ``answer_start``, ``answer_text`` and, where they may differ, ``language``. The score is F1."""

    metric = "F1"

    def __init__(self, max_length: int = 256, stride: int = 64, language: str = "en") -> None:
        self.max_length, self.stride, self.language = max_length, stride, language

    def teacher(self, name: str, rows: Dataset) -> tuple[Any, Any]:
        """A question answerer with a new head, and its tokenizer."""
        return load_with_head(AutoModelForQuestionAnswering, name)

    def student(self, teacher: Any, tokenizer: Any, layers: int | Sequence[int], rows: Dataset) -> tuple[Any, Any]:
        """Fewer layers of the teacher, its vocabulary trimmed to passages and questions."""
        return make_student(teacher, tokenizer, layers, texts=[*rows["context"], *rows["question"]])

    def windows(self, tokenizer: Any, rows: Dataset) -> Dataset:
        """As ``encode_questions``."""
        return encode_questions(rows, tokenizer, self.max_length, self.stride)

    def encode(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """The windows, with the teacher's logits where the rows bring them; a row without ``labelled`` has no label for us."""
        windows = self.windows(tokenizer, rows)
        if "labelled" in rows.column_names:
            known = rows["labelled"]
            labels = [label if known[i] else [-100, -100] for label, i in zip(windows["labels"], windows["example"], strict=True)]
            windows = windows.remove_columns("labels").add_column("labels", labels)
        if "teacher_logits" in rows.column_names:
            windows = add_teacher_logits(windows, [np.array(one) for row in rows["teacher_logits"] for one in row])
        return windows.remove_columns(["example", "offsets"])

    def collator(self, tokenizer: Any) -> Any:
        """As ``pad_columns``."""
        return pad_columns(tokenizer)

    def teach(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """The rows with the teacher's logits, [S, 2] for each window of a row."""
        windows = self.windows(tokenizer, rows)
        found: list[list[Any]] = [[] for _ in range(len(rows))]
        for number, logits in zip(windows["example"], window_logits(model, tokenizer, windows), strict=True):
            found[number].append(logits.tolist())
        return rows.add_column("teacher_logits", found)

    def predict(self, model: Any, tokenizer: Any, rows: Dataset) -> list[str | None]:
        """The best answer to each question, None where "no answer" scores higher."""
        windows = self.windows(tokenizer, rows)
        return answers(windows, window_logits(model, tokenizer, windows), rows["context"])

    def counts(self, rows: Dataset, predictions: Sequence[Any]) -> np.ndarray:
        """F1 and exact match of each question."""
        languages = rows["language"] if "language" in rows.column_names else [self.language] * len(rows)
        scores = [answer_scores([truth], [said], code) for truth, said, code in zip(rows["answer_text"], predictions, languages, strict=True)]
        return np.array([[one["f1"][0], one["exact"][0]] for one in scores])

    def score(self, counts: np.ndarray) -> float:
        """The mean F1."""
        return float(counts[:, 0].mean())
