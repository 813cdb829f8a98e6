"""The report of a task on one's own file: what is read and refused, how rows are split, and that it really runs."""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import papermill
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from kdlib import report as sentiment_report
from kdlib.corpora import normalise
from kdlib.errors import InputError
from kdlib.files import packaged, read_text, save
from kdlib.report import chosen_settings, run_task_report
from kdlib.tasks import pairs, report, seq2seq, spans, tokens
from kdlib.tasks.report import TaskSettings

NOTEBOOK = packaged(*sentiment_report.TASK_NOTEBOOK)
THINGS = ["film", "old book", "room", "coffee", "battery", "service", "phone", "hotel", "second film", "dull book", "long room", "good phone"]
PLACES = ["lyon", "paris", "nice", "new york", "rome", "oslo"]
LONGEST = {"ner": 64, "qa": 96, "pairs": 48, "seq2seq": 24}
QUICK: dict[str, Any] = {"seeds": [0, 1], "epochs": 1, "teacher_epochs": 1, "bf16": False}


def conll(count: int = 48) -> str:
    """Sentences with a place each."""
    found = []
    for i in range(count):
        place = PLACES[i % 6].split()
        found.append([f"{word} O" for word in f"the {THINGS[i // 6 % 12]} number {i} is in".split()] + [f"{place[0]} B-LOC"] + [f"{word} I-LOC" for word in place[1:]])
    return "\n\n".join("\n".join(lines) for lines in found)


def squad(count: int = 48, answers: bool = True, first: int = 0) -> str:
    """Passages with two questions each, one of which has no answer."""
    found = []
    for i in range(first, first + count // 2):
        context = f"the {THINGS[i % 12]} number {i} is in {PLACES[i % 6]} and is good."
        questions: list[dict[str, Any]] = [{"question": f"where is number {i}?"}, {"question": f"who has number {i}?"}]
        if answers:
            questions[0]["answers"] = [{"text": PLACES[i % 6], "answer_start": context.index(f" in {PLACES[i % 6]}") + 4}]
            questions[1] |= {"answers": [], "is_impossible": True}
        found.append({"paragraphs": [{"context": context, "qas": questions}]})
    return json.dumps({"data": found})


def sides(count: int = 60) -> list[tuple[str, str]]:
    """Two texts that say the same."""
    return [(f"where is {THINGS[i % 12]} {i}", f"the {THINGS[i % 12]} {i} is in {PLACES[i % 6]}") for i in range(count)]


FILES: dict[str, tuple[str, str, str]] = {  # name and content of the data, content of the transfer file
    "ner": ("data.conll", conll(), "the long phone is in oslo\n\nthe dull coffee is in rome\n"),
    "qa": ("data.json", squad(), squad(8, answers=False, first=90)),
    "pairs": ("data.tsv", "query\tmatch\n" + "\n".join("\t".join(row) for row in sides()), "where is the new coffee\nwhere is the old hotel\n"),
    "seq2seq": ("data.jsonl", "\n".join(json.dumps({"source": a, "target": b}) for a, b in sides()), "where is film 99\nwhere is room 98\n"),
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Writes the files of a task, and says by which parameters they are read."""

    def write(task: str) -> dict[str, Any]:
        name, content, transfer = FILES[task]
        (tmp_path / name).write_text(content, encoding="utf-8")
        (tmp_path / "more.txt").write_text(transfer, encoding="utf-8")
        return {"task": task, "data": str(tmp_path / name), "transfer": str(tmp_path / "more.txt")}

    return write


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any) -> str:
    """A folder with a tiny encoder."""
    tiny_teacher.bert.save_pretrained(tmp_path / "encoder")
    tiny_tokenizer.save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


# --- parameters -------------------------------------------------------------------------------------------


def test_the_notebooks_parameters_are_the_settings() -> None:
    found = papermill.inspect_notebook(str(NOTEBOOK))
    for parameter in fields(TaskSettings):
        given = found.pop(parameter.name)
        assert given["help"] == parameter.metadata["help"] and json.loads({"None": "null"}.get(given["default"], given["default"])) == parameter.default
    assert list(found) == ["output"] and found["output"]["help"]
    assert not [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.get("outputs")]


@pytest.mark.parametrize(("changes", "message"), [
    ({"task": "nre"}, "task is 'nre'"), ({"data": None}, "The task ner needs data"), ({"seeds": []}, "seeds"), ({"epochs": 0}, "epochs"),
    ({"teacher": "new"}, "The teacher new does not fit the task ner"), ({"profile": "quick"}, "no parameter profile: it knows .*teacher_epochs"),
    ({"task": "seq2seq", "teacher": "packaged"}, "The teacher packaged does not fit the task seq2seq"), ({"max_length": 4}, "max_length"),
])  # fmt: skip
def test_bad_parameters_are_one_sentence_and_nothing_is_begun(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_task_report(tmp_path / "new", **{"task": "ner", "data": "a.conll", **changes})
    assert not (tmp_path / "new").exists()


def test_a_task_has_its_own_defaults() -> None:
    assert (TaskSettings("ner", "a").teacher, TaskSettings("seq2seq", "a").teacher) == ("packaged", "new")
    assert TaskSettings("qa", "a", layers=[0, 5]).layers == [0, 5] and TaskSettings("pairs", "a").seeds == [0, 1, 2]
    assert chosen_settings({"task": "qa", "data": "a", "In": [], "output": "b"}, TaskSettings) == TaskSettings("qa", "a")


# --- files ------------------------------------------------------------------------------------------------


def refused(tmp_path: Path, task: str, name: str, content: str | bytes, message: str, **settings: Any) -> None:
    """Loading says this, in one sentence."""
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        report.load(TaskSettings(task, str(tmp_path / name), **settings))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


LINE = "where is it\tit is here\n"


@pytest.mark.parametrize(("task", "name", "content", "message"), [
    ("ner", "a.conll", "Anna B-PER\nlives\n", r"a\.conll, line 2: 'lives' has no tag: write"),
    ("ner", "a.conll", "Anna B-PER\n\nParis I-LOC\n", r"line 3: I-LOC follows the beginning of a sentence: the first word of an entity has B-LOC"),
    ("ner", "a.conll", "Anna S-PER\n", r"line 1: the tag 'S-PER' is not O, B-… or I-…: write it in the scheme BIO"),
    ("ner", "a.conll", "\n".join(f"word{i} O\n" for i in range(40)), "tags no entity: give sentences with the tags B-"),
    ("ner", "a.conll", "\n\n", "is empty: give a CoNLL file"),
    ("ner", "a.conll", "Zoé B-PER\n".encode() + b"Zo\xe9 B-PER\n", r"line 2: the byte 0xe9 is not UTF-8: save the whole file as UTF-8"),
    ("pairs", "a.tsv", (LINE * 2).encode() + "où\tlà\n".encode("cp1252"), r"a\.tsv, line 3: the byte 0xf9 is not UTF-8"),
    ("pairs", "a.tsv", LINE + "alone\n", r"line 2 has 1 column\(s\) and not two: write query, one tab, match"),
    ("pairs", "a.tsv", LINE + "\n" + "a\tb\tc\n", r"line 3 has 3 column\(s\) and not two"),
    ("pairs", "a.tsv", LINE + "a\t \n", "line 2: the match is missing, empty or no text: fill it in"),
    ("pairs", "a.csv", "a,b\n", r"a\.csv is none of \.tsv, \.jsonl: save it as one"),
    ("pairs", "a.tsv", "".join(f"question {i}\tthe same\n" for i in range(40)), "rows without repetitions, .* 0 to be judged on; give more"),
    ("pairs", "a.tsv", "".join(f"question {i}\tanswer {i}\n" for i in range(30)), "Of 6 different matches 5 can stand beside that of .* and 8 are asked: give more rows"),
    ("seq2seq", "a.jsonl", '{"source": "a", "target": "b"}\n{"source": "a"\n', "line 2 is no JSON object .*: write one with source and target"),
    ("seq2seq", "a.jsonl", '["a", "b"]\n', "line 1 is no JSON object"),
    ("seq2seq", "a.jsonl", '{"source": "a", "target": "\\ud800"}\n', "line 1 is no JSON object"),
    ("seq2seq", "a.jsonl", '{"source": "a", "targt": "b"}\n', "line 1: the target is missing, empty or no text"),
    ("seq2seq", "a.jsonl", '{"source": "", "target": "b"}\n', "line 1: the source is missing, empty or no text"),
    ("seq2seq", "a.tsv", LINE.encode("utf-16"), "line 1: the byte 0xff is not UTF-8"),
    ("seq2seq", "a.tsv", LINE.encode("utf-16-le"), "line 1: a zero byte, as in UTF-16: save the whole file as UTF-8"),
    ("seq2seq", "a.tsv", LINE * 40, "are 1 to learn from and 0 to be judged on; give more, so that they are 16 and 4 at least"),
    ("qa", "a.json", "", "is empty: give a JSON file of the form of SQuAD"),
    ("qa", "a.json", "[1, 2]", "is not of the form of SQuAD .*: write data, paragraphs"),
    ("qa", "a.json", squad(4).replace("oslo", "Oslo", 1).replace('"lyon"', '"Rome"'), r"a\.json, question 1: the answer 'Rome' to .* does not stand at \d+"),
    ("qa", "a.json", squad(4, answers=False), "is not of the form of SQuAD"),
    ("qa", "a.json", squad(4).replace("where is number 1?", " "), "question 3 has an empty question: leave it out"),
    ("qa", "a.json", squad(40).replace("where is", "where was").replace("answer_start\": ", "answer_start\": 9"), "does not stand at 9"),
])  # fmt: skip
def test_bad_files_are_one_sentence(tmp_path: Path, task: str, name: str, content: str | bytes, message: str) -> None:
    refused(tmp_path, task, name, content, message)


@pytest.mark.parametrize("task", FILES)
def test_a_file_that_is_not_there(tmp_path: Path, task: str) -> None:
    name = FILES[task][0]
    with pytest.raises(InputError, match=rf"{name} is no file: give a"):
        report.load(TaskSettings(task, str(tmp_path / name)))  # type: ignore[arg-type]


def test_a_text_may_begin_with_a_byte_order_mark_and_end_its_lines_anyhow(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes("query\tmatch\r\n où \tlà\r\n\r\na\u2028b\tc\rd\te".encode("utf-8-sig"))
    assert read_text(tmp_path / "a.tsv", "text").count("\n") == 4
    assert report.read_sides(str(tmp_path / "a.tsv"), ("query", "match")) == [
        {"query": "où", "match": "là"}, {"query": "a\u2028b", "match": "c"}, {"query": "d", "match": "e"},
    ]  # fmt: skip
    with pytest.raises(InputError, match="line 3: the byte 0xe9"):  # the line is right although a mark comes first
        (tmp_path / "a.tsv").write_bytes("é\té\né\té\n".encode("utf-8-sig") + b"\xe9\te\n")
        read_text(tmp_path / "a.tsv", "text")


@pytest.mark.parametrize("answer", [{"text": "lyon", "answer_start": "2"}, {"text": 3, "answer_start": 2}, {"text": "lyon", "answer_start": True}])
def test_answers_of_another_type(tmp_path: Path, answer: dict[str, Any]) -> None:
    content = json.dumps({"data": [{"paragraphs": [{"context": "in lyon", "qas": [{"question": "where?", "answers": [answer]}]}]}]})
    refused(tmp_path, "qa", "a.json", content, "question 1: the answer .* give a text, and a number of characters")


# --- splits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", FILES)
def test_no_text_is_in_two_splits_and_the_order_of_the_file_is_of_no_account(task: str, written: Callable[..., Any], tmp_path: Path) -> None:
    given = written(task)
    rows = report.read_rows(task, given["data"])
    more = [*report.read_rows(task, given["transfer"], labelled=False), {**rows[3], "tags": []}, rows[5]]
    repeated = [{name: value.upper() if isinstance(value, str) else value for name, value in row.items()} for row in rows[:7]]
    found = report.split_rows([*rows, *repeated, *rows[:9]], (), more)
    assert found == report.split_rows([*rows[::-1], *repeated], (), more[::-1])
    seen = {name: set().union(*map(report.keys, part)) for name, part in found.items()}
    assert seen["test"] and not seen["test"] & seen["train"] and not seen["test"] & seen["transfer"]
    total = len({json.dumps(row) for row in [*rows, *repeated]})
    assert len(found["train"]) + len(found["test"]) == total and total // 6 < len(found["test"]) <= total // 5
    assert found != report.split_rows([*rows, *repeated], (), more, seed=1)
    test = rows[:4]
    own = report.split_rows(rows, test, more)
    assert sorted(map(json.dumps, own["test"])) == sorted(map(json.dumps, test))
    assert not any(report.keys(row) & set().union(*map(report.keys, test)) for row in own["train"] + own["transfer"])


def test_rows_that_are_linked_by_a_chain_stay_together() -> None:
    chain = [{"source": f"text {i}", "target": f"text {i + 1}"} for i in range(30)]
    apart = [{"source": f"one {i}", "target": f"two {i}"} for i in range(30)]
    found = report.split_rows(chain + apart)
    assert len(found["test"]) == 12 and all(row in apart for row in found["test"])


def test_candidates_are_other_rows_matches_the_hard_half_like_the_right_one() -> None:
    rows = [{"query": a, "match": b} for a, b in sides()] + [{"query": "WHERE is film 0", "match": "another right one"}]
    found = pairs.add_candidates(rows, [row["match"] for row in rows], count=6)
    assert found == pairs.add_candidates(rows, [row["match"] for row in rows], count=6)
    for row, made in zip(rows, found, strict=True):
        assert made["candidates"][made["correct"]] == row["match"] and len(set(made["candidates"])) == 6
        also_right = {other["match"] for other in rows if normalise(other["query"]) == normalise(row["query"])}
        assert set(made["candidates"]) & also_right == {row["match"]}
    same_thing = np.mean([sum(THINGS[i % 12] in text for text in found[i]["candidates"]) for i in range(60)])
    assert same_thing > 2.5  # the right one and most of the hard ones; of six that are drawn it would be 1.4
    assert len({row["correct"] for row in found}) > 3  # the place says nothing
    (unknown,) = pairs.add_candidates([{"query": "the dull book", "match": None}], [row["match"] for row in rows], count=4)
    assert unknown["correct"] is None and sum("dull book" in text for text in unknown["candidates"]) >= 2


def test_only_so_many_rows(written: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "test.conll").write_text(conll(5).replace("number", "No"), encoding="utf-8")
    _, data = report.load(TaskSettings(**written("ner"), rows=20, test=str(tmp_path / "test.conll")))
    assert {name: len(part) for name, part in data.items()} == {"train": 20, "test": 5, "transfer": 2}


def test_the_teacher_writes_the_targets_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"source": "a", "target": "b"}, {"source": "c", "target": None}, {"source": "d", "target": None}, {"source": "e", "target": "f"}]
    tokenizer = seq2seq.train_tokenizer([text for row in sides() for text in row], 60)
    model, task = seq2seq.make_translator(tokenizer, (1, 1), 16, 2, 32), seq2seq.Writing()
    monkeypatch.setattr(task, "predict", lambda model, tokenizer, part: [f"said of {text}" if text == "c" else " " for text in part["source"]])
    found = task.teach(model, tokenizer, seq2seq.Dataset.from_list(rows))
    assert [(row["source"], row["target"]) for row in found] == [("a", "b"), ("c", "said of c"), ("e", "f")]  # of d it says nothing
    assert [len(row["teacher_ids"]) for row in found] == [len(tokenizer(row["target"])["input_ids"]) for row in found]


# --- teachers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "changes", "message"), [
    ("ner", {"teacher": "nowhere"}, "No model could be loaded from '.*nowhere'"), ("qa", {"teacher": "writer"}, "No model could be loaded from '.*writer'"),
    ("pairs", {"teacher": "classifier"}, "No model could be loaded from '.*classifier' .*ignore_mismatched"),
    ("seq2seq", {"teacher": "encoder"}, "No model could be loaded from '.*encoder'"),
    ("seq2seq", {"teacher": "writer", "max_length": 48}, "does not fit the task seq2seq: it has 40 positions, and 49 are asked; lower max_length"),
    ("seq2seq", {"teacher": "bart"}, "does not fit the task seq2seq: give one with a fast tokenizer and, for seq2seq, whose targets begin with padding"),
    ("ner", {"teacher": "slow"}, "does not fit the task ner: give one with a fast tokenizer"),
    ("ner", {"max_length": 129}, "it has 128 positions, and 129 are asked; lower max_length"),
    ("ner", {"max_length": 12}, "has [0-9]+ tokens, more than 12: split it, or raise max_length"),
    ("qa", {"max_length": 32}, "leaves no room for the passage in 32 tokens"), ("ner", {"layers": 5}, "layers"),
])  # fmt: skip
def test_what_does_not_fit_is_said_before_anything_is_trained(
    task: str, changes: dict[str, Any], message: str, written: Callable[..., Any], checkpoint: str, tmp_path: Path, tiny_teacher: Any,
    tiny_tokenizer: Any, make_xlm_tokenizer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    teacher = changes.get("teacher", "encoder")
    given = {**written(task), "max_length": 32 if task == "seq2seq" else LONGEST[task], **changes, "teacher": str(tmp_path / teacher)}
    if teacher == "classifier":
        save(tmp_path / "classifier", tiny_teacher, tiny_tokenizer)
    if teacher == "slow":
        save(tmp_path / "slow", tiny_teacher.bert, make_xlm_tokenizer(tmp_path / "xlm"))
    if teacher in ("writer", "bart"):
        tokenizer = seq2seq.train_tokenizer([text for row in sides() for text in row], 60)
        model = seq2seq.make_translator(tokenizer, (1, 1), 16, 2, 32, positions=40)
        if teacher == "bart":
            model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = tokenizer.eos_token_id
        save(tmp_path / teacher, model, tokenizer)
    monkeypatch.setattr(report.study, "train", None)
    settings = TaskSettings(**given)
    with pytest.raises(InputError, match=message) as caught:
        report.learn(*report.load(settings), settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("changes", "asked"), [({}, (300, 500, 500)), ({"epochs": 2}, (300, None, None)), ({"teacher_epochs": 7}, (None, 500, 500))])
def test_students_take_as_many_steps_with_a_teacher_as_without(
    changes: dict[str, Any], asked: tuple[int | None, ...], written: Callable[..., Any], checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TaskSettings(**written("ner"), teacher=checkpoint, seeds=[0], max_length=64, bf16=False, **changes)
    seen: list[tuple[int, float, float, Any]] = []

    def train(task: Any, model: Any, tokenizer: Any, rows: Any, frozen: Any = None, **given: Any) -> Any:
        seen.append((len(rows), given["num_train_epochs"], given["per_device_train_batch_size"], given.get("alpha")))
        return model

    monkeypatch.setattr(report.study, "train", train)
    task, data = report.load(settings)
    models = report.learn(task, data, settings)
    assert {kind: len(runs) for kind, runs in models.items()} == {"teacher": 1, "student_labels_only": 1, "student_distilled": 1}
    labelled = len(data["train"])
    assert [rows for rows, *_ in seen] == [labelled, labelled, labelled + len(data["transfer"])]
    for (rows, epochs, batch, _), steps in zip(seen, asked, strict=True):
        assert epochs == pytest.approx(steps * batch / rows if steps else next(iter(changes.values())))
    if not changes:  # of many rows three epochs, however many steps
        seen.clear()
        report.learn(task, {**data, "train": seq2seq.Dataset.from_list(data["train"].to_list() * 42)}, settings)
        assert seen[0][1] == 3 < seen[1][1]


# --- the report itself ------------------------------------------------------------------------------------


def judged_again(task: str, folder: Path, test: list[dict[str, Any]]) -> float:
    """The score of a saved student, computed here with the Auto classes."""
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def encoded(*texts: Any, **options: Any) -> Any:
        return tokenizer(*texts, return_tensors="pt", return_token_type_ids=False, **options)

    with torch.no_grad():
        if task == "ner":
            model, right, known, said = AutoModelForTokenClassification.from_pretrained(folder), 0, 0, 0
            for row in test:
                batch = encoded(row["words"], is_split_into_words=True)
                best, places = model(**batch).logits[0].argmax(-1).tolist(), batch.word_ids()
                found = tokens.entities([model.config.id2label[best[places.index(i)]] for i in range(len(row["words"]))])
                right, known, said = right + len(found & tokens.entities(row["tags"])), known + len(tokens.entities(row["tags"])), said + len(found)
            return 2 * right / (known + said)
        if task == "qa":
            model, scores = AutoModelForQuestionAnswering.from_pretrained(folder), []
            for row in test:
                batch = encoded(row["question"], row["context"], return_offsets_mapping=True)
                inside, offsets = [i for i, part in enumerate(batch.sequence_ids()) if part == 1], batch.pop("offset_mapping")[0].tolist()
                found = model(**batch)
                start, end = found.start_logits[0].tolist(), found.end_logits[0].tolist()
                score, a, b = max((start[i] + end[j], i, j) for i in inside for j in inside if i <= j < i + 30)
                said = row["context"][offsets[a][0] : offsets[b][1]] if score > start[0] + end[0] else None
                scores.append(spans.answer_scores([row["answer_text"]], [said], "en")["f1"][0])
            return float(np.mean(scores))
        if task == "pairs":
            model, right = AutoModel.from_pretrained(folder), []
            for row in test:
                batch = encoded([row["query"], *row["candidates"]], padding=True)
                states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
                vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
                right.append((vectors[1:] @ vectors[0]).argmax().item() == row["correct"])
            return float(np.mean(right))
        model = AutoModelForSeq2SeqLM.from_pretrained(folder)
        wrote = [tokenizer.decode(model.generate(**encoded([row["source"]]), max_new_tokens=LONGEST[task], num_beams=1)[0], skip_special_tokens=True) for row in test]
        return seq2seq.sacrebleu.corpus_chrf(wrote, [[row["target"] for row in test]]).score / 100


@pytest.mark.parametrize("task", FILES)
def test_the_report_of_a_task(task: str, written: Callable[..., Any], checkpoint: str, tmp_path: Path, isolated_home: Path, capsys: Any) -> None:
    given = {**written(task), **QUICK, "teacher": "new" if task == "seq2seq" else checkpoint, "max_length": LONGEST[task]}
    target = run_task_report(tmp_path / "reports", **given)
    assert target == tmp_path / "reports" / task and [path.name for path in target.parent.iterdir()] == [task]
    assert {path.name for path in target.iterdir()} == {"report.html", "report.ipynb", "metrics.json", "figures", "student"}
    assert (target / "figures" / "scores.png").read_bytes().startswith(b"\x89PNG")

    metrics = json.loads((target / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["task"] == task and metrics["settings"].keys() == {parameter.name for parameter in fields(TaskSettings)}
    assert metrics["settings"] == vars(TaskSettings(**given)) and {"kdlib", "torch"} <= metrics["versions"].keys()
    models = metrics["models"]
    assert {kind: len(figures["seeds"]) for kind, figures in models.items()} == {"teacher": 1, "student_labels_only": 2, "student_distilled": 2}
    for figures in models.values():
        assert 0 <= figures["low"] <= figures["value"] <= figures["high"] <= 1 and figures["milliseconds"] > 0
        assert figures["value"] == pytest.approx(np.mean(figures["seeds"]))
    distilled, labels_only = models["student_distilled"], models["student_labels_only"]
    assert metrics["difference"]["value"] == pytest.approx(distilled["value"] - labels_only["value"])
    assert metrics["compression"] == models["teacher"]["parameters"] / distilled["parameters"] > 1
    assert distilled["parameters"] == labels_only["parameters"]

    _, data = report.load(TaskSettings(**given))
    assert metrics["data"] == {name: len(data[name]) for name in ("train", "test", "transfer")} and metrics["data"]["transfer"] >= 2
    assert judged_again(task, target / "student", data["test"].to_list()) == pytest.approx(distilled["seeds"][0], abs=1e-6)

    page, said = (target / "report.html").read_text(encoding="utf-8"), capsys.readouterr().out
    for part in ("In short", "times fewer parameters", "95 % interval", "rows that share a text with test", f"--task={task}"):
        assert part in page, part
    assert all(part in said for part in (metrics["metric"], "student_distilled", str(target / "report.html"), str(target / "student")))
    outputs = [output for cell in nbformat.read(target / "report.ipynb", as_version=4).cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs and not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    card = (target / "student" / "README.md").read_text(encoding="utf-8")
    assert f"{100 * distilled['value']:.1f} %" in card and "from_pretrained" in card and card.count("```python") == 1
    assert not re.search(r"[{}]|SCALE", card.partition("```")[0]) and ("mean pooling" in card) == (task == "pairs")
