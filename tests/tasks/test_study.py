"""Every family goes through the same recipe: it learns from labels, teaches, is kept on disk; intervals against resampling by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import BertConfig, BertModel, set_seed

from kdlib.tasks import pairs, seq2seq, spans, study, texts, tokens

PEOPLE, PLACES = ["anna", "boris", "chen"], ["lima", "oslo"]
SENTENCES = [(person, place) for person in PEOPLE for place in PLACES] * 2


def rows(kind: str) -> Dataset:
    """A few rows of each family, with a right answer that can be read off."""
    made: dict[str, Any] = {
        "texts": [{"text": f"{a} is in {b}", "label": PLACES.index(b)} for a, b in SENTENCES],
        "tokens": [{"words": [a, "is", "in", b], "tags": ["B-PER", "O", "O", "B-LOC"]} for a, b in SENTENCES],
        "spans": [{"context": f"{a} is in {b}", "question": "who?", "answer_start": 0, "answer_text": a} for a, b in SENTENCES],
        "pairs": [{"query": a, "candidates": [f"{c} is in {b}" for c in PEOPLE], "correct": PEOPLE.index(a)} for a, b in SENTENCES],
        "seq2seq": [{"source": f"{a} is in {b}", "target": f"{b} {a}"} for a, b in SENTENCES],
    }
    return Dataset.from_list(made[kind])


FAMILIES = {
    "texts": texts.Labelling(PLACES), "tokens": tokens.Tagging(["PER", "LOC"]), "spans": spans.Answering(64, 16), "pairs": pairs.Matching(),
    "seq2seq": seq2seq.Writing(60, layers=(1, 1), width=32, heads=2, neurons=64, dropout=0.0),
}  # fmt: skip


@pytest.fixture
def encoder(tiny_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of an encoder with random weights and no head."""
    monkeypatch.setenv("KDLIB_HOME", str(tmp_path / "home"))
    config = BertConfig(vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2, pad_token_id=tiny_tokenizer.pad_token_id, bos_token_id=tiny_tokenizer.bos_token_id, eos_token_id=tiny_tokenizer.eos_token_id)  # fmt: skip
    set_seed(0)
    BertModel(config).save_pretrained(tmp_path / "encoder")
    tiny_tokenizer.save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_family_learns_teaches_and_is_kept(kind: str, encoder: str) -> None:
    task, data = FAMILIES[kind], rows(kind)
    settings = {"num_train_epochs": 40, "learning_rate": 1e-2 if kind == "seq2seq" else 5e-3, "per_device_train_batch_size": 4}
    teacher, tokenizer = task.teacher("new" if kind == "seq2seq" else encoder, data)
    before = task.score(task.counts(data, task.predict(teacher, tokenizer, data)))
    study.train(task, teacher, tokenizer, data, **settings)
    learnt = task.score(task.counts(data, task.predict(teacher, tokenizer, data)))
    assert learnt > max(before, 0.9)

    taught = task.teach(teacher, tokenizer, data)
    student, own = task.student(teacher, tokenizer, 1, data)
    study.train(task, student, own, taught, alpha=1.0, temperature=1.0, seed=1, **settings)
    found = task.predict(student, own, data)
    assert task.score(task.counts(data, found)) > 0.7  # it has never seen a label
    assert study.parameters(student) <= study.parameters(teacher)

    again, own = task.student(teacher, tokenizer, 1, data)
    study.train(task, again, own, taught, alpha=1.0, temperature=1.0, seed=1, **settings)  # read from the disk
    second = task.predict(again, own, data)
    assert np.array_equal(np.asarray(found), np.asarray(second)) if kind in ("texts", "pairs") else found == second


def test_labels_alone_and_a_teacher_are_other_trainings(encoder: str) -> None:
    task, data = FAMILIES["texts"], rows("texts")
    found = []
    for given in (data, task.teach(*task.teacher(encoder, data), data)):
        model, tokenizer = task.teacher(encoder, data)
        found.append(task.predict(study.train(task, model, tokenizer, given, num_train_epochs=1), tokenizer, data))
    assert not np.allclose(found[0], found[1])


def test_the_interval_of_a_difference_against_resampling_by_hand() -> None:
    task, draw = texts.Labelling(["a", "b"]), np.random.default_rng(1)
    first, second = ([draw.integers(0, 2, (200, 1)).astype(float) for _ in range(2)] for _ in range(2))
    found = study.bootstrap(task, first, second, 4000)
    gaps = np.mean(first, 0)[:, 0] - np.mean(second, 0)[:, 0]
    means = [draw.choice(gaps, len(gaps)).mean() for _ in range(4000)]
    assert found["value"] == pytest.approx(gaps.mean())
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))), abs=0.01)


def test_f1_of_resampled_sentences_is_not_the_mean_of_their_f1() -> None:
    task = tokens.Tagging(["PER"])
    assert task.score(np.array([[1.0, 1, 1], [0, 3, 1]])) == pytest.approx(2 * 1 / 6)
