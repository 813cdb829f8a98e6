"""Sequence to sequence: translation, summaries, replies. A small encoder–decoder, what its teacher says about the next piece, and scores.

Word-level distillation: the teacher reads the reference (or its own translation) and says for each position how likely each piece
is to come next; of these numbers the k highest are kept, since a whole row is as long as the vocabulary. Sequence-level
distillation (Kim and Rush 2016) needs none of this: the targets of the training set are replaced by what the teacher writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sacrebleu
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForSeq2SeqLM, MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from ..errors import require
from ..evaluate import evaluation_mode
from ..experiment import digest
from ..files import kept, progress
from ..teachers import load_with_head

SPECIAL = ["<pad>", "</s>", "<unk>"]


def train_tokenizer(texts: Iterable[str], size: int = 8000, tags: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer of at most ``size`` pieces for all languages of ``texts``; ``tags`` such as ``>>fr<<`` are pieces of their own.

    Every text ends with ``</s>``; every digit is a piece, so that no number is new. Source: Kudo (2018), "Subword Regularization", section 3.2.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(texts, trainers.UnigramTrainer(vocab_size=size, special_tokens=[*SPECIAL, *tags], unk_token="<unk>", show_progress=False))
    end = tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", additional_special_tokens=list(tags))


def make_translator(tokenizer: PreTrainedTokenizerFast, layers: tuple[int, int] = (3, 3), width: int = 256, heads: int = 4,
                    neurons: int = 1024, positions: int = 128, dropout: float = 0.1) -> MarianMTModel:  # fmt: skip
    """A model of the Marian architecture (Junczys-Dowmunt et al. 2018) with random weights; ``layers`` of encoder and decoder.

    The weights begin at a scale of 1/√width: at the library's 0.02 a decoder of this size hardly feels the source, and learns to ignore it.
    """
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    config = MarianConfig(vocab_size=len(tokenizer), d_model=width, encoder_layers=layers[0], decoder_layers=layers[1], encoder_attention_heads=heads,
                          decoder_attention_heads=heads, encoder_ffn_dim=neurons, decoder_ffn_dim=neurons, max_position_embeddings=positions, dropout=dropout,
                          attention_dropout=0.0, activation_function="relu", pad_token_id=pad, eos_token_id=end, decoder_start_token_id=pad,
                          forced_eos_token_id=None, scale_embedding=True, init_std=width**-0.5)  # fmt: skip
    model = MarianMTModel(config)
    model.generation_config.update(bad_words_ids=[[pad]], max_length=None, pad_token_id=pad, eos_token_id=end, decoder_start_token_id=pad)
    return model.eval()


def check_pairs(dataset: Dataset) -> None:
    """Raise ``InputError``, with the number of the row, where a side is missing, empty or no text."""
    for name in ("source", "target"):
        require(name in dataset.column_names, f"There is no column {name}: give source and target, a text each.")
        for number, text in enumerate(dataset[name]):
            require(isinstance(text, str) and text.strip(), f"Row {number} has an empty {name}: leave the pair out.")


def encode_translations(dataset: Dataset, tokenizer: PreTrainedTokenizerFast, max_length: int = 64) -> Dataset:
    """Tokens for training, from ``source`` and ``target``: input_ids, attention_mask, and ``labels`` [T], the target with its ``</s>``.

    Both sides are cut after ``max_length`` tokens.
    """
    check_pairs(dataset)

    def one_batch(batch: Mapping[str, Any]) -> dict[str, Any]:
        encoded = tokenizer(batch["source"], truncation=True, max_length=max_length, return_token_type_ids=False)
        return {**encoded, "labels": tokenizer(batch["target"], truncation=True, max_length=max_length)["input_ids"]}

    return dataset.map(one_batch, batched=True, remove_columns=dataset.column_names, keep_in_memory=True)


def pad_translations(tokenizer: PreTrainedTokenizerFast) -> Any:
    """A collator: sources as the tokenizer pads, ``labels`` with −100, what the teacher said with zeros, and ``decoder_input_ids``."""

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        sources = [{name: row[name] for name in ("input_ids", "attention_mask")} for row in rows]
        batch = dict(tokenizer.pad(sources, padding=True, pad_to_multiple_of=8, return_tensors="pt"))
        length = -(-max(len(row["labels"]) for row in rows) // 8) * 8
        for name in ("labels", "teacher_ids", "teacher_logits"):
            if name in rows[0]:
                parts = [torch.as_tensor(np.asarray(row[name])) for row in rows]
                batch[name] = parts[0].new_full((len(rows), length, *parts[0].shape[1:]), -100 if name == "labels" else 0)
                for row, part in zip(batch[name], parts, strict=True):
                    row[: len(part)] = part
        before = batch["labels"].roll(1, 1).masked_fill(batch["labels"].roll(1, 1) == -100, tokenizer.pad_token_id)
        before[:, 0] = tokenizer.pad_token_id  # Marian begins with it
        return batch | {"decoder_input_ids": before}

    return collate


def next_pieces(model: MarianMTModel, tokenizer: PreTrainedTokenizerFast, encoded: Dataset, k: int = 16, batch_size: int = 32) -> Dataset:
    """The rows with what the teacher says at each position of the target: ``teacher_ids`` and ``teacher_logits`` [T, k], the k highest."""
    found: list[Any] = [None] * len(encoded)
    order = np.argsort([len(ids) for ids in encoded["labels"]], kind="stable")
    with evaluation_mode(model):
        for start in progress(range(0, len(order), batch_size), "teacher reads pairs"):
            rows = order[start : start + batch_size]
            batch = pad_translations(tokenizer)([encoded[int(i)] for i in rows])
            inputs = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask", "decoder_input_ids")}
            best = model(**inputs).logits.float().topk(k)
            for place, row in enumerate(rows):
                length = len(encoded[int(row)]["labels"])
                found[row] = best.indices[place, :length].cpu().numpy(), best.values[place, :length].cpu().numpy()
    with_ids = encoded.add_column("teacher_ids", [ids.tolist() for ids, _ in found])
    return with_ids.add_column("teacher_logits", [values.tolist() for _, values in found])


def translate(model: Any, tokenizer: PreTrainedTokenizerFast, sources: Sequence[str], beams: int = 1, batch_size: int = 32,
              max_length: int = 64) -> list[str]:  # fmt: skip
    """What the model writes for each source, by greedy search or with ``beams`` beams, in at most ``max_length`` pieces."""
    found = [""] * len(sources)
    order = np.argsort([len(text) for text in sources], kind="stable")
    with evaluation_mode(model):
        for start in progress(range(0, len(order), batch_size), "texts written"):
            rows = order[start : start + batch_size]
            chosen = [sources[i] for i in rows]
            encoded = tokenizer(chosen, truncation=True, max_length=max_length, padding=True, return_tensors="pt", return_token_type_ids=False)
            written = model.generate(**encoded.to(model.device), num_beams=beams, do_sample=False, max_new_tokens=max_length)
            for row, text in zip(rows, tokenizer.batch_decode(written, skip_special_tokens=True), strict=True):
                found[row] = text
    return found


class Writing:
    """Rows have ``source`` and ``target``. The teacher is a Marian model trained from nothing, or one of the hub. The score is chrF (0 to 1)."""

    metric = "chrF"

    def __init__(self, pieces: int = 8000, tags: Sequence[str] = (), max_length: int = 64, **sizes: Any) -> None:
        self.pieces, self.tags, self.max_length, self.sizes = pieces, list(tags), max_length, sizes

    def teacher(self, name: str, rows: Dataset) -> tuple[Any, Any]:
        """``"new"``: a Marian model with random weights and a vocabulary of both sides of ``rows``; or any sequence-to-sequence checkpoint."""
        if name != "new":
            return load_with_head(AutoModelForSeq2SeqLM, name)
        texts = [*rows["source"], *rows["target"]]

        def build(folder: Any) -> None:  # kept, for its scores differ in the last digits from run to run, and so would all that is made with it
            train_tokenizer(texts, self.pieces, self.tags).save_pretrained(folder)

        tokenizer = PreTrainedTokenizerFast.from_pretrained(kept("tokenizers", digest(texts, self.pieces, self.tags), build))
        return make_translator(tokenizer, **self.sizes), tokenizer

    def student(self, teacher: Any, tokenizer: Any, layers: int | Sequence[int], rows: Dataset, **sizes: Any) -> tuple[Any, Any]:
        """A Marian model with random weights, the teacher's vocabulary, ``layers`` of encoder and decoder, and other ``sizes`` where given."""
        both = (layers, layers) if isinstance(layers, int) else (layers[0], layers[1])
        return make_translator(tokenizer, **{**self.sizes, "layers": both, **sizes}), tokenizer

    def encode(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """As ``encode_translations``, with what the teacher says about each piece."""
        encoded = encode_translations(rows, tokenizer, self.max_length)
        for name in ("teacher_ids", "teacher_logits"):
            encoded = encoded.add_column(name, rows[name]) if name in rows.column_names else encoded
        return encoded

    def collator(self, tokenizer: Any) -> Any:
        """As ``pad_translations``."""
        return pad_translations(tokenizer)

    def teach(self, model: Any, tokenizer: Any, rows: Dataset) -> Dataset:
        """The rows with ``teacher_ids`` and ``teacher_logits``, as ``next_pieces``; where the target is None the model's own stands for it, and
        a row for which it writes nothing is left out."""
        if None in rows["target"]:
            said = iter(self.predict(model, tokenizer, rows.filter(lambda row: row["target"] is None)))
            whole = rows.map(lambda row: {"target": next(said) if row["target"] is None else row["target"]}, keep_in_memory=True)
            rows = whole.filter(lambda row: row["target"].strip())
        said = next_pieces(model, tokenizer, encode_translations(rows, tokenizer, self.max_length))
        return rows.add_column("teacher_ids", said["teacher_ids"]).add_column("teacher_logits", said["teacher_logits"])

    def predict(self, model: Any, tokenizer: Any, rows: Dataset) -> list[str]:
        """What the model writes, by greedy search."""
        return translate(model, tokenizer, rows["source"], max_length=self.max_length)

    def counts(self, rows: Dataset, predictions: Sequence[Any]) -> np.ndarray:
        """The statistics from which sacrebleu computes chrF: of each order of characters, how many are written, there, and common."""
        metric = sacrebleu.CHRF()
        prepared = [metric._extract_corpus_statistics([said], [[truth]])[0] for said, truth in zip(predictions, rows["target"], strict=True)]
        return np.array(prepared, float)

    def score(self, counts: np.ndarray) -> float:
        """chrF, Popović (2015)."""
        return sacrebleu.CHRF()._compute_score_from_stats(counts.sum(0).tolist()).score / 100
