"""Sequence labelling: words and pieces stay aligned, tags become entities, and only the first piece of a word counts."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertForTokenClassification

from kdlib.distill import DistillationArguments, DistillationTrainer
from kdlib.errors import InputError
from kdlib.losses import distillation_loss
from kdlib.tasks import tokens

NAMES = tokens.tag_names(["PER", "LOC"])


@pytest.fixture
def tagger(tiny_tokenizer: Any) -> BertForTokenClassification:
    """A tagger with random weights."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                        num_labels=len(NAMES), pad_token_id=tiny_tokenizer.pad_token_id)  # fmt: skip
    return BertForTokenClassification(config).eval()


def sentences(count: int, seed: int = 0) -> list[list[str]]:
    """Random words of Chinese, English and French letters, and of signs."""
    draw, alphabets = random.Random(seed), ["书房间很好不错的了是在", "abcdefghijklmnopqrstuvwxyzABC'-", "éàèçêïôûœabcdeLMn’", "0123456789.,;:!?%€"]
    words = lambda: "".join(draw.choices(draw.choice(alphabets), k=draw.randint(1, 9)))  # noqa: E731
    return [[words() for _ in range(draw.randint(1, 12))] for _ in range(count)]


def test_every_word_has_its_first_piece_where_its_tag_stands(tiny_tokenizer: Any) -> None:
    for start in range(0, 10_000, 500):
        rows = sentences(500, start)
        encoded = tokens.cut(tiny_tokenizer, rows, 512)
        for row, words in enumerate(rows):
            places, owners = tokens.first_pieces(encoded, row), encoded.word_ids(row)
            assert [owners[place] for place in places] == list(range(len(words)))
            assert all(owner != owners[place - 1] for place in places for owner in [owners[place]])


def test_tags_stand_at_first_pieces_alone(tiny_tokenizer: Any) -> None:
    rows = sentences(50)
    tags = [[NAMES[(len(word) + place) % len(NAMES)] for place, word in enumerate(words)] for words in rows]
    logits = [np.arange(len(words) * len(NAMES), dtype=np.float32).reshape(len(words), -1).tolist() for words in rows]
    found = tokens.encode_words(Dataset.from_dict({"words": rows, "tags": tags, "teacher_logits": logits}), tiny_tokenizer, NAMES, 512)
    for row, expected, teacher in zip(found, tags, logits, strict=True):
        chosen = np.array(row["loss_mask"]) == 1
        assert [NAMES[label] for label in np.array(row["labels"])[chosen]] == expected
        assert np.array_equal(np.array(row["teacher_logits"])[chosen], teacher)
        assert set(np.array(row["labels"])[~chosen]) <= {-100} and not np.array(row["teacher_logits"])[~chosen].any()
    (one,) = tokens.encode_words(Dataset.from_dict({"words": rows[:1]}), tiny_tokenizer, NAMES, 512)
    assert set(one["labels"]) == {-100} and sum(one["loss_mask"]) == len(rows[0])


def test_word_logits_do_not_depend_on_the_company(tagger: Any, tiny_tokenizer: Any) -> None:
    rows = sentences(20)
    together = tokens.word_logits(tagger, tiny_tokenizer, rows, batch_size=7, max_length=512)
    for words, found in zip(rows, together, strict=True):
        (alone,) = tokens.word_logits(tagger, tiny_tokenizer, [words], max_length=512)
        assert found.shape == (len(words), len(NAMES)) and np.allclose(found, alone, atol=1e-5)


def test_the_trainer_counts_first_pieces_only(tagger: Any, tiny_tokenizer: Any, tmp_path: Path) -> None:
    rows = sentences(12)
    tags = [[NAMES[len(word) % len(NAMES)] for word in words] for words in rows]
    logits = [(np.arange(len(words) * len(NAMES)).reshape(len(words), -1) % 7 / 3).tolist() for words in rows]
    data = tokens.encode_words(Dataset.from_dict({"words": rows, "tags": tags, "teacher_logits": logits}), tiny_tokenizer, NAMES, 512)
    arguments = DistillationArguments(output_dir=str(tmp_path), eval_strategy="no", save_strategy="no", load_best_model_at_end=False, report_to="none")
    trainer = DistillationTrainer(model=tagger, args=arguments, train_dataset=data, data_collator=tokens.pad_columns(tiny_tokenizer))
    batch = tokens.pad_columns(tiny_tokenizer)(list(data))
    whole = trainer.compute_loss(tagger, batch)
    with torch.no_grad():
        said = tagger(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[batch["loss_mask"] == 1]
    by_hand = distillation_loss(said, torch.tensor(np.concatenate(logits)).float(), torch.tensor([NAMES.index(tag) for row in tags for tag in row]), 2.0, 0.7)
    assert torch.isclose(whole, by_hand, atol=1e-6)


@pytest.mark.parametrize(("tags", "expected"), [
    ("O B-PER I-PER O", {(1, 3, "PER")}),
    ("B-PER B-PER", {(0, 1, "PER"), (1, 2, "PER")}),
    ("B-PER I-LOC", {(0, 1, "PER"), (1, 2, "LOC")}),
    ("I-LOC I-LOC O I-PER", {(0, 2, "LOC"), (3, 4, "PER")}),
    ("O O", set()),
])  # fmt: skip
def test_entities(tags: str, expected: set[Any]) -> None:
    assert tokens.entities(tags.split()) == expected


def test_scores_against_counts_by_hand() -> None:
    gold = ["B-PER I-PER O B-LOC".split(), "O B-LOC".split(), "B-PER O".split()]
    said = ["B-PER I-PER O B-PER".split(), "O B-LOC".split(), "B-PER I-PER".split()]
    found = tokens.entity_scores(gold, said)
    assert found["PER"] == {"precision": 1 / 3, "recall": 1 / 2, "f1": 2 / 5, "support": 2}
    assert found["LOC"] == {"precision": 1.0, "recall": 1 / 2, "f1": 2 / 3, "support": 2}
    assert found["micro"] == {"precision": 2 / 4, "recall": 2 / 4, "f1": 4 / 8, "support": 4}


def test_scores_are_those_of_seqeval() -> None:
    from seqeval.metrics import classification_report

    draw, names = random.Random(0), tokens.tag_names(["PER", "LOC", "ORG"])
    for _ in range(30):
        gold, said = ([draw.choices(names, k=1 + place % 9) for place in range(20)] for _ in range(2))
        said = [[b if draw.random() < 0.3 else a for a, b in zip(*both, strict=True)] for both in zip(gold, said, strict=True)]
        report = classification_report(gold, said, output_dict=True, zero_division=0)  # also of tags that BIO forbids
        for name, found in tokens.entity_scores(gold, said).items():
            other = report["micro avg" if name == "micro" else name]
            assert [found[key] for key in ("precision", "recall", "f1", "support")] == pytest.approx(
                [other[key] for key in ("precision", "recall", "f1-score", "support")]
            )


@pytest.mark.parametrize(("content", "message"), [
    ("Anna B-PER\nlives\n", r"line 2: 'lives' has no tag"),
    ("Anna B-PER\n\nParis I-LOC\n", r"line 3: I-LOC follows the beginning of a sentence: the first word of an entity has B-LOC"),
    ("Anna B-PER\nParis I-LOC\n", r"line 2: I-LOC follows B-PER"),
    ("Anna PER\n", r"line 1: the tag 'PER' is not O, B-… or I-…"),
    ("\n\n", r"is empty: give a CoNLL file"),
    ("-DOCSTART- -X- O\n\n", r"holds no sentence"),
    ("Ann\xe9 B-PER\n".encode("latin-1"), r"line 1: the byte 0xe9 is not UTF-8"),
])  # fmt: skip
def test_bad_files_are_named_with_their_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    (tmp_path / "tags.conll").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        tokens.read_conll(tmp_path / "tags.conll")


def test_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "tags.conll").write_text("-DOCSTART- -X- O\n\nAnna\tNNP\tB-PER\nMaier NNP I-PER\nlacht VVFIN O\n\n在 O\n北京 B-LOC\n", "utf-8")
    assert tokens.read_conll(tmp_path / "tags.conll").to_list() == [
        {"words": ["Anna", "Maier", "lacht"], "tags": ["B-PER", "I-PER", "O"]}, {"words": ["在", "北京"], "tags": ["O", "B-LOC"]},
    ]  # fmt: skip


def test_long_sentences_and_empty_words_are_refused(tiny_tokenizer: Any) -> None:
    with pytest.raises(InputError, match=r"has \d+ tokens, more than 8: split it, or raise max_length"):
        tokens.cut(tiny_tokenizer, [["word"] * 20], 8)
    with pytest.raises(InputError, match="has no piece"):
        tokens.cut(tiny_tokenizer, [["a", " ", "b"]], 64)
