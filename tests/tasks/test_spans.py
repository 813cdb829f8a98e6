"""Question answering: windows hold the answer where they say, the loss sees allowed positions alone, the best span is the best."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertForQuestionAnswering

from kdlib.distill import SHUT, DistillationArguments, DistillationTrainer
from kdlib.errors import InputError
from kdlib.losses import distillation_loss
from kdlib.students import make_student
from kdlib.tasks import spans
from kdlib.tasks.tokens import pad_columns

CONTEXT = "Anna sells bread in Lyon. " * 12 + "The market opens at nine. 她在里昂卖面包。"
ROWS = [
    {"context": CONTEXT, "question": "When does it open?", "answer_start": CONTEXT.index("nine"), "answer_text": "nine"},
    {"context": CONTEXT, "question": "Who sells?", "answer_start": 0, "answer_text": "Anna"},
    {"context": CONTEXT, "question": "她卖什么？", "answer_start": CONTEXT.index("面包"), "answer_text": "面包"},
    {"context": CONTEXT, "question": "Why?", "answer_start": None, "answer_text": None},
]


@pytest.fixture
def reader(tiny_tokenizer: Any) -> BertForQuestionAnswering:
    """A question answerer with random weights."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                        pad_token_id=tiny_tokenizer.pad_token_id)  # fmt: skip
    return BertForQuestionAnswering(config).eval()


@pytest.fixture
def windows(tiny_tokenizer: Any) -> Dataset:
    """The rows above, cut into short windows."""
    return spans.encode_questions(Dataset.from_list(ROWS), tiny_tokenizer, max_length=96, stride=24)


def test_windows_hold_the_answer_or_point_at_the_first_position(windows: Dataset) -> None:
    seen = {0: 0, 1: 0, 2: 0, 3: 0}
    for window in windows:
        row, (first, last) = ROWS[window["example"]], window["labels"]
        assert len(window["input_ids"]) <= 96 and window["loss_mask"][0] == 1
        if last:
            said = CONTEXT[window["offsets"][first][0] : window["offsets"][last][1]]
            assert row["answer_text"] in said and window["loss_mask"][first] == window["loss_mask"][last] == 1
            seen[window["example"]] += 1
    assert len(windows) > 8 and seen[0] and seen[1] and seen[2] and not seen[3]


def test_rows_without_answers_are_unlabelled(tiny_tokenizer: Any) -> None:
    bare = Dataset.from_list(ROWS).remove_columns(["answer_text", "answer_start"])
    assert {tuple(labels) for labels in spans.encode_questions(bare, tiny_tokenizer, 96, 24)["labels"]} == {(-100, -100)}


def test_the_trainer_softens_over_allowed_positions_alone(reader: Any, tiny_tokenizer: Any, windows: Dataset, tmp_path: Path) -> None:
    teacher = [np.random.default_rng(i).normal(size=(len(window["input_ids"]), 2)) for i, window in enumerate(windows)]
    data = spans.add_teacher_logits(windows, teacher)
    arguments = DistillationArguments(output_dir=str(tmp_path), eval_strategy="no", save_strategy="no", load_best_model_at_end=False, report_to="none")
    collate = pad_columns(tiny_tokenizer)
    trainer = DistillationTrainer(model=reader, args=arguments, train_dataset=data, data_collator=collate)
    columns = [name for name in data.column_names if name not in ("example", "offsets")]
    whole = trainer.compute_loss(reader, collate(list(data.select_columns(columns))))
    parts = []
    for window, logits, said in zip(windows, teacher, spans.window_logits(reader, tiny_tokenizer, windows), strict=True):
        allowed = np.array(window["loss_mask"]) == 1
        places = np.flatnonzero(allowed).tolist()
        labels = torch.tensor([places.index(label) for label in window["labels"]])
        one, other = (torch.tensor(values[allowed].T.copy()).float() for values in (said, logits))
        parts.append(distillation_loss(one, other, labels, 2.0, 0.7))
    assert torch.isclose(whole, torch.stack(parts).mean(), atol=1e-4)


def test_the_best_span_is_the_best_of_all(windows: Dataset) -> None:
    draw = np.random.default_rng(0)
    logits = [draw.normal(size=(len(window["input_ids"]), 2)) for window in windows]
    found = spans.answers(windows, logits, [CONTEXT] * 4, longest=5, threshold=-1e9)
    assert found == [None] * 4
    found = spans.answers(windows, logits, [CONTEXT] * 4, longest=5, threshold=1e9)
    scores = spans.best_spans(windows, logits, [CONTEXT] * 4, longest=5)
    for number in range(4):
        best = -np.inf
        for window, values in zip(windows, logits, strict=True):
            if window["example"] == number:
                places = [place for place, allowed in enumerate(window["loss_mask"]) if allowed and place]
                for first, last in product(places, places):
                    score = values[first, 0] + values[last, 1] - values[0].sum()
                    if 0 <= last - first < 5 and score > best:
                        best, text = score, CONTEXT[window["offsets"][first][0] : window["offsets"][last][1]]
        assert found[number] == text and scores[number] == (pytest.approx(best), text)


def test_a_student_of_a_question_answerer_starts_as_its_teacher(reader: Any, tiny_tokenizer: Any, windows: Dataset) -> None:
    texts = [text for row in ROWS for text in (row["context"], row["question"])]
    student, tokenizer = make_student(reader, tiny_tokenizer, 2, texts=texts)
    own = spans.encode_questions(Dataset.from_list(ROWS), tokenizer, 96, 24)
    pairs = zip(spans.window_logits(student, tokenizer, own), spans.window_logits(reader, tiny_tokenizer, windows), strict=True)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in pairs)
    with pytest.raises(InputError, match="No student can be cut out of a BertForQuestionAnswering"):
        make_student(reader, tiny_tokenizer, 1, texts=texts, embedding_size=8)


@pytest.mark.parametrize(("gold", "said", "language", "exact", "f1"), [
    ("the Swiss franc", "Swiss Franc.", "en", 1, 1), ("les Pays-Bas", "aux Pays-Bas", "fr", 0, 0.8), ("瑞士法郎", "瑞士 法郎。", "zh", 1, 1),
    ("瑞士法郎", "法郎", "zh", 0, 2 * 2 / 6), (None, None, "en", 1, 1), (None, "nine", "en", 0, 0), ("nine", None, "en", 0, 0),
])  # fmt: skip
def test_scores(gold: str | None, said: str | None, language: str, exact: float, f1: float) -> None:
    found = spans.answer_scores([gold], [said], language)
    assert found["exact"][0] == exact and found["f1"][0] == pytest.approx(f1)


def squad(**changes: Any) -> str:
    """A file of one question."""
    entry = {"question": "Who?", "answers": [{"text": "Anna", "answer_start": 0}]} | changes
    return json.dumps({"data": [{"paragraphs": [{"context": "Anna sells bread.", "qas": [entry]}]}]})


def test_squad_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(squad(), "utf-8")
    assert spans.read_squad(tmp_path / "a.json")[0]["answer_text"] == "Anna"
    (tmp_path / "a.json").write_text(squad(is_impossible=True), "utf-8")
    assert spans.read_squad(tmp_path / "a.json")[0]["answer_text"] is None


@pytest.mark.parametrize(("content", "message"), [
    (squad(answers=[{"text": "Bert", "answer_start": 0}]), r"'Bert' to 'Who\?' does not stand at 0, where the passage has 'Anna'"),
    (squad(answers=[{"text": "bread", "answer_start": 40}]), "does not stand at 40"), ("{}", "is not of the form of SQuAD"), ("[", "is not of the form"),
    (json.dumps({"data": []}), "holds no question"),
])  # fmt: skip
def test_bad_squad_files(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content, "utf-8")
    with pytest.raises(InputError, match=message):
        spans.read_squad(tmp_path / "a.json")


def test_a_question_that_fills_the_window_and_a_teacher_that_cuts_otherwise(tiny_tokenizer: Any, windows: Dataset) -> None:
    with pytest.raises(InputError, match="leaves no room for the passage in 32 tokens"):
        spans.encode_questions(Dataset.from_list([{"context": "a", "question": "x" * 50}]), tiny_tokenizer, 32, 8)
    with pytest.raises(InputError, match="Window 0 has"):
        spans.add_teacher_logits(windows, [np.zeros((1, 2))] * len(windows))
    assert SHUT < -1000
