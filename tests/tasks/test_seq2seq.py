"""Sequence to sequence: what goes in comes out again, the decoder sees what came before, the teacher's k likeliest pieces teach."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy
from transformers import Trainer

from kdlib.distill import DistillationArguments, DistillationTrainer
from kdlib.errors import InputError
from kdlib.losses import soft_target_loss
from kdlib.tasks import seq2seq

WORDS = {"red": "rouge", "blue": "bleu", "house": "maison", "dog": "chien", "book": "livre", "green": "vert"}
ROWS = [{"source": f">>fr<< {a} {b}", "target": f"{WORDS[a]} {WORDS[b]}"} for a in WORDS for b in WORDS]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Pieces of both languages."""
    return seq2seq.train_tokenizer([text for row in ROWS for text in row.values()], 60, [">>fr<<"])


@pytest.fixture
def model(tokenizer: Any) -> Any:
    """A small model with random weights."""
    torch.manual_seed(0)
    return seq2seq.make_translator(tokenizer, (1, 1), 32, 2, 64, dropout=0.0)


@pytest.fixture
def encoded(tokenizer: Any) -> Dataset:
    """Some of the rows."""
    return seq2seq.encode_translations(Dataset.from_list(ROWS[::2]), tokenizer)


def test_text_comes_back(tokenizer: Any) -> None:
    for text in ("red house", "maison rouge", ">>fr<< dog"):
        ids = tokenizer(text)["input_ids"]
        assert ids[-1] == tokenizer.eos_token_id and tokenizer.decode(ids, skip_special_tokens=True) == text.removeprefix(">>fr<< ")
    assert tokenizer.tokenize(">>fr<< dog")[0] == ">>fr<<"


def test_the_decoder_sees_what_came_before(tokenizer: Any, encoded: Dataset) -> None:
    batch = seq2seq.pad_translations(tokenizer)(list(encoded))
    for labels, before in zip(batch["labels"], batch["decoder_input_ids"], strict=True):
        length = int((labels >= 0).sum())
        assert before[0] == tokenizer.pad_token_id and torch.equal(before[1:length], labels[: length - 1])
        assert (labels[length:] == -100).all() and (before >= 0).all()


def test_the_teachers_likeliest_pieces(model: Any, tokenizer: Any, encoded: Dataset) -> None:
    found = seq2seq.next_pieces(model, tokenizer, encoded, k=4, batch_size=5)
    for row in list(found)[:6]:
        batch = seq2seq.pad_translations(tokenizer)([row])
        with torch.no_grad():
            logits = model(**{name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}).logits[0]
        best = logits[: len(row["labels"])].topk(4)
        assert torch.allclose(best.values, torch.tensor(row["teacher_logits"]), atol=1e-4)


def test_the_loss_against_by_hand(model: Any, tokenizer: Any, encoded: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    teacher = seq2seq.make_translator(tokenizer, (1, 1), 32, 2, 64, dropout=0.0)
    data = seq2seq.next_pieces(teacher, tokenizer, encoded, k=len(tokenizer))
    trainer = DistillationTrainer(model=model, args=settings(tmp_path), train_dataset=data, data_collator=seq2seq.pad_translations(tokenizer))
    batch = seq2seq.pad_translations(tokenizer)(list(data))
    whole = trainer.compute_loss(model, batch)
    valid, inputs = batch["labels"] >= 0, {name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    with torch.no_grad():  # with all pieces kept nothing is lost
        said, taught = model(**inputs).logits[valid], teacher(**inputs).logits[valid]
    by_hand = 0.3 * cross_entropy(said, batch["labels"][valid]) + 0.7 * soft_target_loss(said, taught, 2.0)
    assert torch.isclose(whole, by_hand, atol=1e-5)


def settings(folder: Path, **changes: Any) -> DistillationArguments:
    """No evaluation, nothing stored."""
    return DistillationArguments(output_dir=str(folder), eval_strategy="no", save_strategy="no", load_best_model_at_end=False, report_to="none",
                                 train_sampling_strategy="random", disable_tqdm=True, **changes)  # fmt: skip


@pytest.mark.slow
def test_a_model_learns_to_translate_and_teaches_another(tokenizer: Any, tmp_path: Path) -> None:
    rows, collate = seq2seq.encode_translations(Dataset.from_list(ROWS), tokenizer), seq2seq.pad_translations(tokenizer)
    torch.manual_seed(0)
    teacher, student = (seq2seq.make_translator(tokenizer, (1, 1), width, 2, 2 * width, dropout=0.0) for width in (64, 64))
    Trainer(model=teacher, args=settings(tmp_path, num_train_epochs=100, learning_rate=3e-3, per_device_train_batch_size=12), train_dataset=rows, data_collator=collate).train()
    sources, targets = [row["source"] for row in ROWS], [row["target"] for row in ROWS]
    for beams in (1, 3):
        said = seq2seq.translate(teacher, tokenizer, sources, beams=beams)
        assert sum(a == b for a, b in zip(said, targets, strict=True)) >= 30
    arguments = settings(tmp_path, num_train_epochs=100, learning_rate=3e-3, per_device_train_batch_size=12, alpha=1.0, temperature=1.0)
    DistillationTrainer(model=student, args=arguments, train_dataset=seq2seq.next_pieces(teacher, tokenizer, rows, 8), data_collator=collate).train()
    said = seq2seq.translate(student, tokenizer, sources)
    assert sum(a == b for a, b in zip(said, targets, strict=True)) >= 27  # it has never seen a label


def test_bad_pairs_are_refused(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="There is no column target"):
        seq2seq.encode_translations(Dataset.from_list([{"source": "a"}]), tokenizer)
    with pytest.raises(InputError, match="Row 1 has an empty target"):
        seq2seq.encode_translations(Dataset.from_list([{"source": "a", "target": "b"}, {"source": "a", "target": " "}]), tokenizer)


def test_every_digit_is_a_piece(tokenizer: Any) -> None:
    many = seq2seq.train_tokenizer(["in 2026 we paid 1,240 euros"] * 20 + ["on 3 March 2026"] * 20, 60)
    assert not [piece for piece in many.get_vocab() if sum(map(str.isdigit, piece)) > 1 or (len(piece) > 1 and any(map(str.isdigit, piece)))]
    assert many.decode(many("paid 1,240 in 2026")["input_ids"], skip_special_tokens=True) == "paid 1,240 in 2026"


def test_the_tokenizer_of_a_teacher_is_kept() -> None:
    rows = Dataset.from_list(ROWS)
    (_, first), (_, second) = (seq2seq.Writing(60, [">>fr<<"], width=32, heads=2).teacher("new", rows) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


def test_a_new_decoder_feels_the_source(tokenizer: Any, encoded: Dataset) -> None:
    torch.manual_seed(0)
    new = seq2seq.make_translator(tokenizer, (3, 3), 64, 4, 128, dropout=0.0)
    batch = seq2seq.pad_translations(tokenizer)(list(encoded))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    with torch.no_grad():
        right = new(**inputs).logits
        other = new(**{**inputs, "input_ids": inputs["input_ids"].roll(1, 0), "attention_mask": inputs["attention_mask"].roll(1, 0)}).logits
    assert (right - other).std() > 0.2 * right.std()
