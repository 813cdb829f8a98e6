"""Matching: does this text belong to that one? A cross-encoder reads both together, a bi-encoder each alone.

The cross-encoder is the better judge and has to read every pair; the bi-encoder reads each text once, keeps its embedding, and
compares by a dot product. So the first teaches the second: a query and its candidates are one row, the candidates are its classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import SequenceClassifierOutput

from ..corpora import normalise
from ..errors import require
from ..evaluate import batches_by_length, evaluation_mode
from ..files import progress
from ..students import make_student
from ..teachers import load_with_head


def add_candidates(rows: Sequence[Mapping[str, Any]], pool: Sequence[str], count: int = 8, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with ``query`` and ``match`` (None: unknown) as rows with ``query``, ``candidates`` and ``correct``, the place of the match.

    The other candidates are texts of ``pool`` which match no row of the same query: half of them those most like the match (like the
    query where it is unknown), by the cosine of TF-IDF over two to four characters within words; the rest is drawn.
    Raises ``InputError`` where ``pool`` has too few different texts.
    """
    unique, generator = list({normalise(text): text for text in pool}.values()), np.random.default_rng(seed)
    keys, grams = [normalise(text) for text in unique], TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    known, right = grams.fit_transform(unique), dict[str, set[str]]()
    for row in rows:
        right.setdefault(normalise(row["query"]), set()).add(normalise(row["match"] or ""))
    found = []
    for row in rows:
        not_these = right[normalise(row["query"])]
        likeness = (known @ grams.transform([row["match"] or row["query"]]).T).toarray().ravel()
        order = [i for i in np.argsort(-likeness, kind="stable")[: count + len(not_these)] if keys[i] not in not_these][: count // 2]
        drawn = generator.permutation(len(unique))[: count + len(not_these)]
        order += [i for i in drawn if keys[i] not in not_these and i not in order][: count - len(order)]
        require(len(order) == count, f"Of {len(unique)} different matches {len(order)} can stand beside that of {row['query'][:60]!r}, "
                                     f"and {count} are asked: give more rows.")  # fmt: skip
        place, texts = int(generator.integers(count)), [unique[i] for i in order]
        texts[place] = row["match"] or texts[place]
        found.append({"query": row["query"], "candidates": texts, "correct": place if row["match"] else None})
    return found


def check_candidates(dataset: Dataset) -> int:
    """How many candidates each row has; raises ``InputError`` where they are none, not as many as in the others, or an empty text."""
    counts = {len(candidates) for candidates in dataset["candidates"]}
    require(len(counts) == 1 and min(counts) > 0, f"The rows have {sorted(counts)} candidates: give each row as many as the others.")
    for number, row in enumerate(dataset):
        empty = not row["query"].strip() or not all(text.strip() for text in row["candidates"])
        require(not empty, f"Row {number} has an empty query or candidate: leave the row out.")
    return counts.pop()


class CrossEncoder(nn.Module):
    """A classifier of one logit that reads a query and a candidate together.

    ``forward`` takes [B, C, S] tokens, each a pair, and gives logits [B, C] less their mean, as ``BiEncoder`` does.
    """

    def __init__(self, classifier: PreTrainedModel) -> None:
        super().__init__()
        self.classifier, self.config = classifier, classifier.config
        self.train(classifier.training)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Logits [B, C] of tokens [B, C, S]."""
        logits = self.classifier(input_ids=input_ids.flatten(0, 1), attention_mask=attention_mask.flatten(0, 1)).logits[:, -1]
        logits = logits.unflatten(0, input_ids.shape[:2])
        return SequenceClassifierOutput(logits=logits - logits.mean(1, keepdim=True))


class BiEncoder(nn.Module):
    """An encoder that embeds each text by the mean of its last states; its logits are cosines, times a scale that is learnt.

    ``forward`` takes [B, 1 + C, S] tokens, the query first, and gives logits [B, C], less their mean: only the differences between
    candidates matter, as they do in a softmax. With two candidates the mean squared difference of such logits is a quarter of the
    margin-MSE, ((s₁ − s₂) − (t₁ − t₂))² (Hofstätter et al. 2020, "Improving Efficient Neural Ranking Models", section 3).
    """

    def __init__(self, encoder: PreTrainedModel, candidates: int, scale: float = 20.0) -> None:
        super().__init__()
        self.encoder, self.scale = encoder, nn.Parameter(torch.tensor(float(np.log(scale))))
        self.config = type(encoder.config)(**{**encoder.config.to_dict(), "num_labels": candidates})
        self.train(encoder.training)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embeddings of length 1, [B, H], of tokens [B, S]."""
        states, mask = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state, attention_mask[..., None]
        return nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Logits [B, C] of tokens [B, 1 + C, S]."""
        embeddings = self.embed(input_ids.flatten(0, 1), attention_mask.flatten(0, 1)).unflatten(0, input_ids.shape[:2])
        cosines = (embeddings[:, :1] * embeddings[:, 1:]).sum(-1)
        logits = self.scale.exp() * cosines
        return SequenceClassifierOutput(logits=logits - logits.mean(1, keepdim=True))


def encode_candidates(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, together: bool = False, max_length: int = 64) -> Dataset:
    """``tokens``: token ids of the query and of each candidate, for a ``BiEncoder``; or, ``together``, of each candidate with the query.

    ``labels`` says which candidate is right (column ``correct``; −100 where there is none); ``teacher_logits``, where there are some,
    are given less their mean.
    """
    check_candidates(dataset)

    def one(row: Mapping[str, Any]) -> dict[str, Any]:
        texts = ([row["query"]] * len(row["candidates"]), row["candidates"]) if together else ([row["query"], *row["candidates"]],)
        found: dict[str, Any] = {"tokens": tokenizer(*texts, truncation=True, max_length=max_length)["input_ids"]}
        found["length"] = max(map(len, found["tokens"]))  # batches are made of rows of one length
        found["labels"] = -100 if row.get("correct") is None else row["correct"]
        if "teacher_logits" in row:
            found["teacher_logits"] = (np.array(row["teacher_logits"]) - np.mean(row["teacher_logits"])).tolist()
        return found

    return dataset.map(one, remove_columns=dataset.column_names, keep_in_memory=True)


def pad_candidates(tokenizer: PreTrainedTokenizerBase) -> Any:
    """A collator: ``tokens`` as ``input_ids`` and ``attention_mask`` [B, 1 + C, S]."""

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        texts = [ids for row in rows for ids in row["tokens"]]
        padded = tokenizer.pad({"input_ids": texts}, padding=True, pad_to_multiple_of=8, return_tensors="pt")
        batch = {name: padded[name].unflatten(0, (len(rows), -1)) for name in ("input_ids", "attention_mask")}
        others = [name for name in ("labels", "teacher_logits") if name in rows[0]]
        return batch | {name: torch.tensor(np.array([row[name] for row in rows])) for name in others}

    return collate


def rank_scores(logits: np.ndarray, correct: Sequence[int]) -> dict[str, np.ndarray]:
    """For each row: ``recall`` at 1, whether the right candidate comes first, and ``reciprocal_rank``. Ties count against the model."""
    right = np.asarray(logits)[np.arange(len(logits)), np.asarray(correct)]
    rank = (np.asarray(logits) >= right[:, None]).sum(1)
    return {"recall": (rank == 1).astype(float), "reciprocal_rank": 1 / rank}


class Matching:
    """Rows have ``query``, ``candidates`` and ``correct``, the place of the right one (None: nobody knows). The score is recall at 1."""

    metric = "recall@1"

    def __init__(self, max_length: int = 64) -> None:
        self.max_length = max_length

    def teacher(self, name: str, rows: Dataset) -> tuple[Any, Any]:
        """A cross-encoder with a new head, and its tokenizer."""
        model, tokenizer = load_with_head(AutoModelForSequenceClassification, name, num_labels=1)
        return CrossEncoder(model), tokenizer

    def student(self, teacher: Any, tokenizer: Any, layers: int | Sequence[int], rows: Dataset, start: str | None = None) -> tuple[Any, Any]:
        """A bi-encoder: layers of the cross-encoder, or of the encoder ``start``, its vocabulary trimmed to the texts."""
        source = teacher.classifier
        if start is not None:
            encoder, tokenizer = load_with_head(AutoModel, start)
            source = type(source)(source.config)
            source.base_model.load_state_dict(encoder.state_dict(), strict=False)
        texts = [text for row in rows for text in (row["query"], *row["candidates"])]
        student: Any
        student, tokenizer = make_student(source, tokenizer, layers, texts=texts)
        return BiEncoder(student.base_model, check_candidates(rows)), tokenizer

    def encode(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """As ``encode_candidates``."""
        return encode_candidates(rows, tokenizer, isinstance(model, CrossEncoder), self.max_length)

    def collator(self, tokenizer: Any) -> Any:
        """As ``pad_candidates``."""
        return pad_candidates(tokenizer)

    def teach(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """The rows with the teacher's logits [C]."""
        return rows.add_column("teacher_logits", self.predict(model, tokenizer, rows).tolist())

    def predict(self, model: Any, tokenizer: Any, rows: Dataset, batch_size: int = 8) -> np.ndarray:
        """Logits [rows, C]."""
        encoded, found = self.encode(model, tokenizer, rows), np.zeros((len(rows), check_candidates(rows)), np.float32)
        lengths, collate, device = [max(map(len, tokens)) for tokens in encoded["tokens"]], pad_candidates(tokenizer), next(model.parameters()).device
        with evaluation_mode(model):
            for chosen in progress(batches_by_length(lengths, batch_size), "candidates read"):
                batch = collate([{"tokens": encoded[int(i)]["tokens"]} for i in chosen])
                found[chosen] = model(**{name: value.to(device) for name, value in batch.items()}).logits.float().cpu().numpy()
        return found

    def counts(self, rows: Dataset, predictions: Sequence[Any]) -> np.ndarray:
        """Whether the right candidate comes first, and one over its rank."""
        scores = rank_scores(np.asarray(predictions), rows["correct"])
        return np.stack([scores["recall"], scores["reciprocal_rank"]], 1)

    def score(self, counts: np.ndarray) -> float:
        """Recall at 1."""
        return float(counts[:, 0].mean())
