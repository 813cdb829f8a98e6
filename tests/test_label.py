"""Every row of the input is in one shard or set aside once, in order, whatever happens to the run on its way."""

import errno
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock
from killing import die_at, fork, needs_fork
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertModel

from kdlib import label
from kdlib.cli import main
from kdlib.errors import InputError
from kdlib.label import label_files, read_records

FILES = ("kdlib/label.py", "kdlib/files.py")  # at whose lines a run may be killed
WORDS = ["the film", "awful and dull", "great fun", "咖啡 很好", "cet hôtel est mauvais", "bad", "good in every way that I can think of"]
TEXTS = [f"{WORDS[i % 7]} : {WORDS[i * 3 % 5]}{' , really' * (i % 4)}" for i in range(40)]


# --- inputs and independent computations ------------------------------------------------------------------


@pytest.fixture(scope="module")
def teacher(made_once: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny teacher as a checkpoint on disk."""
    folder = tmp_path_factory.mktemp("teacher")
    for part in made_once:
        part.save_pretrained(folder)
    return str(folder)


def one_by_one(teacher: str, texts: list[str], max_length: int = 128) -> np.ndarray:
    """Logits [n, K] of each text on its own: no batch, no padding, no sorting."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(teacher).eval(), AutoTokenizer.from_pretrained(teacher)
    rows = [tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt") for text in texts]
    with torch.no_grad():
        return np.concatenate([model(**row).logits.numpy() for row in rows])


def lines_of(suffix: str) -> list[tuple[bytes, str | None, str]]:
    """Rows of a CSV, TSV or JSON lines file: the bytes, the text or None, and a word of the reason why there is none."""
    mark = "\t" if suffix == ".tsv" else ","
    if suffix == ".jsonl":
        good = [(json.dumps({"id": i, "text": text}, ensure_ascii=bool(i % 2)).encode(), text, "") for i, text in enumerate(TEXTS)]
        bad = [
            (b'{"id": 0}', "missing"), (b'{"text": null}', "missing"), (b'{"text": ""}', "empty"), (b'{"text": " \\n"}', "empty"),
            (b'{"text": 5}', "int, not text"), (b'{"text": ["a"]}', "list, not text"), (b'{"text": "caf\xe9"}', "UTF-8"),
            (b'{"text": "\\ud83d"}', "UTF-8"), (b'["text"]', "no JSON object"), (b"good film", "Expecting value"), (b'{"text": "a"', "cannot be read"),
            (b"[" * 100_000, "cannot be read"),
        ]  # fmt: skip
    else:
        good = [(f'{i}{mark}"{text}"'.encode() if i % 3 else f"{i}{mark}{text}".encode(), text, "") for i, text in enumerate(t.replace(" , ", " ") for t in TEXTS)]
        good.append((f'40{mark}"two\nlines, ""quoted"""'.encode(), 'two\nlines, "quoted"', ""))
        bad = [
            (f"1{mark}".encode(), "empty"), (f'1{mark}"  "'.encode(), "empty"), (f"1{mark}caf".encode() + b"\xe9", "UTF-8"), (b"1", "fewer fields"),
            (f"1{mark}a{mark}b".encode(), "more"), (f'1{mark}"a"b'.encode(), "cannot be read"),
        ]  # fmt: skip
    rows = [*good, *((line, None, reason) for line, reason in bad)]
    random.Random(0).shuffle(rows)
    return rows


def make_input(folder: Path, suffix: str) -> tuple[Path, list[str | None], list[str]]:
    """A file with good and bad rows and, for each row, its text or None, and a word of the reason."""
    file = folder / f"reviews{suffix}"
    if suffix == ".parquet":
        rows = [(text.encode(), text, "") for text in TEXTS] + [(b"", None, "empty"), (b" \t", None, "empty"), (b"caf\xe9", None, "decode")]
        rows += [(None, None, "missing")]  # type: ignore[list-item]
        random.Random(0).shuffle(rows)
        raw = pa.array([value for value, _, _ in rows], pa.binary()).view(pa.string())  # Parquet files say text and may hold anything
        pq.write_table(pa.table({"id": range(len(rows)), "text": raw}), file, row_group_size=11)
    else:
        rows = lines_of(suffix)
        header = [] if suffix == ".jsonl" else [b"id" + (b"\t" if suffix == ".tsv" else b",") + b"text"]
        file.write_bytes(b"\xef\xbb\xbf" * (suffix == ".csv") + b"\n".join([*header, *(line for line, _, _ in rows)]) + b"\n\n")
    return file, [text for _, text, _ in rows], [reason for _, _, reason in rows]


def simple_input(folder: Path, rows: int = 40) -> Path:
    """A Parquet file whose rows all have a text, with their number as id."""
    file = folder / "simple.parquet"
    pq.write_table(pa.table({"id": range(rows), "text": [TEXTS[i % len(TEXTS)] for i in range(rows)]}), file)
    return file


def shards_of(output: Path) -> list[dict[str, Any]]:
    """The rows of all shards, in order."""
    return [row for part in sorted(output.glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()]


def rejects_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "rejects.jsonl").read_text(encoding="utf-8").splitlines()]


def check_manifest(output: Path) -> dict[str, Any]:
    """The manifest, after its checksums and counts were compared with what lies there, and that nothing else does."""
    manifest: dict[str, Any] = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    for shard in manifest["shards"]:
        assert hashlib.sha256((output / shard["shard"]).read_bytes()).hexdigest() == shard["sha256"]
        assert pq.read_metadata(output / shard["shard"]).num_rows == shard["rows"]
    assert manifest["rows"] == sum(shard["rows"] for shard in manifest["shards"]) == len(shards_of(output))
    assert manifest["rejected"] == len(rejects_of(output))
    names = {shard["shard"] for shard in manifest["shards"]} | {"manifest.json", "rejects.jsonl", ".progress"}
    assert {path.name for path in output.iterdir()} == names
    assert {path.name for path in (output / ".progress").iterdir()} - {"lock"} == {
        "begun.json", *(shard["shard"].replace(".parquet", ".json") for shard in manifest["shards"]),
    }  # fmt: skip
    return manifest


@pytest.fixture
def labelled_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by the texts that a teacher is given."""
    seen: list[str] = []
    real = label.predict_logits

    def counting(model: Any, tokenizer: Any, texts: list[str], **settings: Any) -> np.ndarray:
        seen.extend(texts)
        return real(model, tokenizer, texts, **settings)

    monkeypatch.setattr(label, "predict_logits", counting)
    return seen


# --- what comes out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_size", [1, 7, 1000])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_each_row_is_in_one_shard_or_set_aside_once_in_order(tmp_path: Path, teacher: str, suffix: str, shard_size: int) -> None:
    file, texts, reasons = make_input(tmp_path, suffix)
    output = tmp_path / "deep" / "output"
    assert label_files(file, output, teacher, batch_size=5, shard_size=shard_size) == check_manifest(output)
    rows, rejects = shards_of(output), rejects_of(output)
    good = [text for text in texts if text is not None]
    assert [row["text"] for row in rows] == good
    np.testing.assert_allclose([row["teacher_logits"] for row in rows], one_by_one(teacher, good), atol=1e-5)
    assert [(reject["file"], reject["row"]) for reject in rejects] == [(file.name, i) for i, text in enumerate(texts, 1) if text is None]
    for reject in rejects:
        assert reasons[reject["row"] - 1] in reject["reason"], reject
    parts = sorted(output.glob("part-*.parquet"))
    assert [part.name for part in parts] == [f"part-{i:05}.parquet" for i in range(-(-len(texts) // shard_size))]
    assert pq.read_schema(parts[0]).field("teacher_logits").type == pa.list_(pa.float32())
    assert len({pq.read_schema(part).to_string() for part in parts}) == 1


def test_texts_are_cut_as_elsewhere(tmp_path: Path, teacher: str) -> None:
    file = simple_input(tmp_path)
    label_files(file, tmp_path / "output", teacher, max_length=5)
    logits = [row["teacher_logits"] for row in shards_of(tmp_path / "output")]
    np.testing.assert_allclose(logits, one_by_one(teacher, TEXTS, max_length=5), atol=1e-5)
    assert np.abs(np.array(logits) - one_by_one(teacher, TEXTS)).max() > 0.01  # it matters


def test_columns_of_parquet_keep_type_and_content(tmp_path: Path, teacher: str) -> None:
    table = pa.table({
        "when": pa.array([0, 1, None, 3], pa.timestamp("ns", "UTC")), "tags": [["a"], [], None, ["b", "c"]],
        "review": pa.array(["good", None, "bad", "good"]).dictionary_encode(), "price": pa.array([1, 2, 3, None], pa.decimal128(9, 2)),
        "deep": [{"x": 1}, {"x": None}, None, {"x": 2}], "raw": [b"\xff", b"", None, b"a"], "nothing": pa.nulls(4),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "all.parquet")
    label_files(tmp_path / "all.parquet", tmp_path / "output", teacher, shard_size=3)
    parts = [pq.read_table(part) for part in sorted((tmp_path / "output").glob("part-*"))]
    joined = pa.concat_tables(parts)
    assert [len(part) for part in parts] == [2, 1]
    assert joined.drop_columns("teacher_logits").to_pylist() == table.take([0, 2, 3]).to_pylist()
    assert joined.schema.remove(len(table.schema)).equals(table.schema)


def test_columns_of_text_files_become_text(tmp_path: Path, teacher: str) -> None:
    rows = [{"text": "good", "n": 1}, {"text": "bad", "n": 0.5, "tags": ["é"]}, {"extra": True, "text": "good", "n": "007"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "b.csv").write_text("n;text\n007;great fun, really\n", encoding="utf-8")
    label_files(tmp_path, tmp_path / "output", teacher, shard_size=1)
    got = [[row[name] for name in ("text", "n", "tags", "extra")] for row in shards_of(tmp_path / "output")]
    assert [[row[0], row[1], row[2] and json.loads(row[2]), row[3]] for row in got] == [
        ["good", "1", None, None], ["bad", "0.5", ["é"], None], ["good", "007", None, "true"], ["great fun, really", "007", None, None],
    ]  # fmt: skip


def test_the_header_decides_the_delimiter_and_not_its_names(tmp_path: Path, teacher: str) -> None:
    (tmp_path / "a.csv").write_text('"text, or review, or comment";"id"\ngreat fun, really;1\n', encoding="utf-8")
    label_files(tmp_path / "a.csv", tmp_path / "output", teacher, text_column="text, or review, or comment")
    (row,) = shards_of(tmp_path / "output")
    assert (row["text, or review, or comment"], row["id"]) == ("great fun, really", "1")


def test_a_folder_is_read_by_name_and_shards_do_not_span_files(tmp_path: Path, teacher: str) -> None:
    source = tmp_path / "input"
    source.mkdir()
    for name, texts in (("b", TEXTS[:3]), ("a", ["", *TEXTS[3:8]]), ("c", TEXTS[8:10])):
        (source / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    for other in ("notes.txt", ".hidden.csv"):
        (source / other).write_text("no table", encoding="utf-8")
    manifest = label_files(source, tmp_path / "output", teacher, shard_size=4)
    assert [row["text"] for row in shards_of(tmp_path / "output")] == [*TEXTS[3:8], *TEXTS[:3], *TEXTS[8:10]]
    assert rejects_of(tmp_path / "output") == [{"file": "a.jsonl", "row": 1, "reason": "the text is empty"}]
    assert [(shard["rows"], shard["rejected"]) for shard in manifest["shards"]] == [(3, 1), (2, 0), (3, 0), (2, 0)]
    assert [(entry["file"], entry["rows"]) for entry in manifest["input"]] == [("a.jsonl", 6), ("b.jsonl", 3), ("c.jsonl", 2)]
    for entry in manifest["input"]:
        data = (source / entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_file_without_one_good_row_gives_shards_without_rows(tmp_path: Path, teacher: str) -> None:
    (tmp_path / "bad.csv").write_text("text,n\n,1\n,2\n", encoding="utf-8")
    manifest = label_files(tmp_path / "bad.csv", tmp_path / "output", teacher)
    assert (manifest["rows"], manifest["rejected"]) == (0, 2) and check_manifest(tmp_path / "output")
    assert pq.read_table(tmp_path / "output" / "part-00000.parquet").num_rows == 0


def test_a_teacher_of_three_classes_brings_its_own_labels(tmp_path: Path, made_once: tuple[Any, Any]) -> None:
    tokenizer, two = made_once
    config = BertConfig(**(two.config.to_dict() | {"id2label": {0: "no", 1: "so so", 2: "yes"}, "label2id": {"no": 0, "so so": 1, "yes": 2}}))
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "three")
    tokenizer.save_pretrained(tmp_path / "three")
    manifest = label_files(simple_input(tmp_path), tmp_path / "output", str(tmp_path / "three"))
    assert manifest["labels"] == ["no", "so so", "yes"]
    assert {len(row["teacher_logits"]) for row in shards_of(tmp_path / "output")} == {3}


def test_a_text_that_does_not_end_costs_rows_and_not_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "open.csv"
    file.write_text('id,text\n1,good\n2,"never closed\n' + "3,good film\n" * 40_000, encoding="utf-8")
    records = list(read_records(file))
    assert records[0] == ({"id": "1", "text": "good"}, "")
    assert "field larger than" in records[1][1]
    assert records[-1] == ({"id": "3", "text": "good film"}, "")


# --- going on ---------------------------------------------------------------------------------------------


def test_a_second_run_labels_nothing_again(tmp_path: Path, teacher: str, labelled_texts: list[str]) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    first = label_files(file, output, teacher, shard_size=9)
    assert sorted(labelled_texts) == sorted(TEXTS)
    labelled_texts.clear()
    assert label_files(file, output, teacher, shard_size=9, batch_size=3) == first | {"batch_size": 3}
    assert labelled_texts == []


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda file: file.write_bytes(b""), lambda file: os.truncate(file, 100)])
@pytest.mark.parametrize("finished", [True, False])
def test_a_damaged_shard_is_labelled_again_and_said(
    damage: Callable[[Path], Any], finished: bool, tmp_path: Path, teacher: str, labelled_texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    manifest = label_files(file, output, teacher, shard_size=9)
    if not finished:
        (output / "manifest.json").unlink()
    labelled_texts.clear()
    damage(output / "part-00002.parquet")
    assert capsys.readouterr().out == ""
    assert label_files(file, output, teacher, shard_size=9) == check_manifest(output) == manifest
    assert labelled_texts == TEXTS[18:27]
    assert capsys.readouterr().out == "The shard part-00002.parquet is damaged or gone: its 9 texts are labelled again.\n"


def test_a_damaged_record_is_no_record(tmp_path: Path, teacher: str, labelled_texts: list[str]) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    manifest = label_files(file, output, teacher, shard_size=9)
    labelled_texts.clear()
    for number, content in enumerate(("", "[]", "{}", '{"rows": 9, "sha256"')):
        (output / ".progress" / f"part-{number:05}.json").write_text(content, encoding="utf-8")
    assert label_files(file, output, teacher, shard_size=9) == check_manifest(output) == manifest
    assert labelled_texts == TEXTS[:36]


def test_while_a_shard_is_missing_there_is_no_manifest(tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    label_files(file, output, teacher, shard_size=9)
    (output / "part-00001.parquet").unlink()
    real = pq.write_table

    def write(*arguments: Any) -> None:
        assert not (output / "manifest.json").exists()
        real(*arguments)

    monkeypatch.setattr(label.pq, "write_table", write)
    label_files(file, output, teacher, shard_size=9)
    check_manifest(output)


@pytest.mark.parametrize("changed", ["text_column", "max_length", "shard_size", "input", "teacher"])
def test_a_folder_goes_on_only_with_what_it_was_begun_with(changed: str, tmp_path: Path, teacher: str, made_once: tuple[Any, Any]) -> None:
    table = pa.table({"text": TEXTS, "other": TEXTS[::-1]})
    pq.write_table(table, tmp_path / "two.parquet")
    given: dict[str, Any] = {"source": tmp_path / "two.parquet", "teacher": teacher, "shard_size": 9}
    output = tmp_path / "output"
    label_files(output=output, **given)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    if changed == "input":
        pq.write_table(table.slice(1), tmp_path / "two.parquet")
    elif changed == "teacher":
        model = AutoModelForSequenceClassification.from_pretrained(teacher)
        model.classifier.bias.data[0] += 1e-3
        model.save_pretrained(tmp_path / "other")
        made_once[0].save_pretrained(tmp_path / "other")
        given["teacher"] = str(tmp_path / "other")
    else:
        given |= {"text_column": "other"} if changed == "text_column" else {changed: 8}
    with pytest.raises(InputError, match=rf"was begun with another {changed}.*: choose a new folder") as caught:
        label_files(output=output, **given)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_shards_of_something_else_stay(tmp_path: Path, teacher: str) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "part-00000.parquet").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="holds shards of something else"):
        label_files(simple_input(tmp_path), tmp_path / "output", teacher)
    assert (tmp_path / "output" / "part-00000.parquet").read_text(encoding="utf-8") == "mine"


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch, labelled_texts: list[str]) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    expected = label_files(file, tmp_path / "expected", teacher, shard_size=9)
    ticks = iter(range(2_000_000_000, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(ticks)))
    monkeypatch.delenv("KDLIB_QUIET")  # with the bar, which looks at the clock
    label_files(file, output, teacher, shard_size=9)
    for path in output.rglob("*"):  # all of it seems to be written in the year 2100, later than what comes now
        os.utime(path, (4_102_444_800, 4_102_444_800))
    (output / "part-00001.parquet").unlink()
    labelled_texts.clear()
    assert label_files(file, output, teacher, shard_size=9) == check_manifest(output) == expected
    assert labelled_texts == TEXTS[9:18]


@pytest.mark.parametrize("place", ["a shard", "a record", "the manifest"])
def test_a_full_disk_is_one_sentence_and_costs_one_shard(
    place: str, tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch, labelled_texts: list[str]
) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    expected = label_files(file, tmp_path / "expected", teacher, shard_size=9)
    full = OSError(errno.ENOSPC, "No space left on device")
    real_table, real_text = pq.write_table, Path.write_text

    def write_table(table: pa.Table, where: Path) -> None:
        if place == "a shard" and where.name == "part-00002.parquet":
            where.write_bytes(b"PAR1 half of it")
            raise full
        real_table(table, where)

    def write_text(path: Path, *given: Any, **settings: Any) -> int:
        if path.name == {"a record": "part-00002.json", "the manifest": "manifest.json"}.get(place):
            raise full
        return real_text(path, *given, **settings)

    labelled_texts.clear()
    with monkeypatch.context() as patch, pytest.raises(InputError, match="disk that holds .* is full"):
        patch.setattr(label.pq, "write_table", write_table)
        patch.setattr(Path, "write_text", write_text)
        label_files(file, output, teacher, shard_size=9)
    assert not (output / "manifest.json").exists()
    labelled_texts.clear()
    assert label_files(file, output, teacher, shard_size=9) == check_manifest(output) == expected
    assert labelled_texts == ([] if place == "the manifest" else TEXTS[18:])


# --- killed, or started twice -----------------------------------------------------------------------------


def child(script: str, **given: Any) -> subprocess.Popen[str]:
    """A process of its own that has these tests and the arguments at hand."""
    begin = "import json, sys; sys.path.insert(0, sys.argv[1]); import test_label; given = json.loads(sys.argv[2])"
    command = [sys.executable, "-c", f"{begin}; {script}", str(Path(__file__).parent), json.dumps(given)]
    # Threads are of no use to a tiny teacher, and on a busy machine wait for each other.
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def answer(process: subprocess.Popen[str]) -> Any:
    """What it printed last, as JSON."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def kill_many(source: str, folder: str, teacher: str, kills: int) -> dict[str, Any]:
    """Runs that are killed, each going on where the last one fell: at any line, every fourth at any moment of the clock."""
    chance, output, parts, killed = random.Random(0), Path(folder) / "0", [], 0
    settings = {"teacher": teacher, "shard_size": 6, "batch_size": 4}
    counted = Path(folder) / "lines"

    def count_lines() -> None:
        counter = die_at(-1, *FILES)
        label_files(source, Path(folder) / "counted", **settings)
        sys.settrace(None)
        counted.write_text(str(counter[0]), encoding="utf-8")

    start = time.monotonic()
    os.waitpid(fork(count_lines), 0)
    seconds, lines = time.monotonic() - start, int(counted.read_text(encoding="utf-8"))
    while killed < kills:
        by_clock, step = killed % 4 == 3, chance.randrange(1, lines)

        def run(step: int = 0 if by_clock else step, output: Path = output) -> None:
            die_at(step, *FILES)
            label_files(source, output, **settings)

        pid = fork(run)
        if by_clock:
            time.sleep(chance.uniform(0, seconds))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed += 1
            parts.append(len(list(output.glob("part-*.parquet"))))
        else:  # it came to its end before its line did: a new folder for the next
            assert status == 0
            output = output.with_name(str(int(output.name) + 1))
    _, status = os.waitpid(fork(lambda: label_files(source, output, **settings)), 0)
    assert status == 0
    return {"folders": int(output.name) + 1, "parts": parts}


@pytest.mark.slow
@needs_fork
def test_killed_at_twenty_points_every_row_is_there_once(tmp_path: Path, teacher: str) -> None:
    file, texts, _ = make_input(tmp_path, ".jsonl")
    result = answer(child("print(json.dumps(test_label.kill_many(**given)))", source=str(file), folder=str(tmp_path), teacher=teacher, kills=20))
    shards = -(-len(texts) // 6)
    assert len(result["parts"]) == 20 and set(result["parts"]) - {0, shards}, result  # also half-way
    good = [text for text in texts if text is not None]
    expected = one_by_one(teacher, good)
    for number in range(result["folders"]):
        output = tmp_path / str(number)
        check_manifest(output)
        rows = shards_of(output)
        assert [row["text"] for row in rows] == good
        np.testing.assert_allclose([row["teacher_logits"] for row in rows], expected, atol=1e-5)
        assert [reject["row"] for reject in rejects_of(output)] == [i for i, text in enumerate(texts, 1) if text is None]


def slow_run(source: str, output: str, teacher: str) -> None:
    """Label one shard after another, and never come to an end."""
    real = label.predict_logits

    def slow(*given: Any, **settings: Any) -> np.ndarray:
        time.sleep(600 if Path(output, "part-00001.parquet").exists() else 0)
        return real(*given, **settings)

    label.predict_logits = slow  # type: ignore[assignment]
    label_files(source, output, teacher, shard_size=9)


def test_a_second_run_refuses_and_a_killed_one_leaves_no_lock(tmp_path: Path, teacher: str, labelled_texts: list[str]) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    first = child("test_label.slow_run(**given)", source=str(file), output=str(output), teacher=teacher)
    try:
        while not (output / ".progress" / "part-00001.json").exists():
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        before = sorted(path.name for path in output.rglob("*"))
        with pytest.raises(InputError, match=r"^Another kdlib label is at work in .*: wait until it ends, or choose another folder\.$"):
            label_files(file, output, teacher, shard_size=9)
        assert sorted(path.name for path in output.rglob("*")) == before
    finally:
        first.kill()
        first.communicate()
    assert labelled_texts == []
    label_files(file, output, teacher, shard_size=9)
    assert labelled_texts == TEXTS[18:]
    check_manifest(output)


# --- workers ----------------------------------------------------------------------------------------------


def crew_of_threads(work: Callable[..., None], given: tuple[Any, ...], count: int, **_: Any) -> Any:
    """Workers as ``torch.multiprocessing.spawn`` starts them, but in this process, where a test can look on."""
    assert work is label.spawned  # it takes SIGINT, which no thread can, and does this:
    threads = [threading.Thread(target=label.label_missing, args=(rank, *given)) for rank in range(count)]
    for thread in threads:
        thread.exitcode = 0  # type: ignore[attr-defined]
        thread.start()
    return SimpleNamespace(processes=threads)


@pytest.mark.parametrize("shard_size", [1, 9, 1000])
def test_workers_label_every_shard_once(shard_size: int, tmp_path: Path, teacher: str, labelled_texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    expected = label_files(file, tmp_path / "expected", teacher, shard_size=shard_size)
    labelled_texts.clear()
    processor_threads: list[int] = []
    monkeypatch.setattr(torch.multiprocessing, "spawn", crew_of_threads)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", processor_threads.append)
    assert label_files(file, output, teacher, shard_size=shard_size, workers=3) == check_manifest(output) == expected
    assert sorted(labelled_texts) == sorted(TEXTS)
    assert processor_threads == [2, 2, 2, 7]  # a third for each of the three, and all for the last look


def test_a_worker_leaves_claimed_shards_alone(tmp_path: Path, teacher: str, labelled_texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    claim, seen = FileLock(output / ".progress" / "claims" / "1"), []

    def crew(*given: Any, **settings: Any) -> Any:
        with claim:  # somebody labels the second shard, and dies over it
            started = crew_of_threads(*given, **settings)
            for thread in started.processes:
                thread.join()
            seen.extend(labelled_texts)
        return started

    monkeypatch.setattr(torch.multiprocessing, "spawn", crew)
    label_files(file, output, teacher, shard_size=9, workers=2)
    assert sorted(seen) == sorted(TEXTS[:9] + TEXTS[18:])
    assert labelled_texts[len(seen) :] == TEXTS[9:18]
    assert [row["text"] for row in shards_of(output)] == TEXTS and check_manifest(output)


def test_a_worker_with_another_teacher_refuses(tmp_path: Path, teacher: str) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    label_files(file, output, teacher)
    begun = json.loads((output / ".progress" / "begun.json").read_text(encoding="utf-8"))
    given = (teacher, 64, output, [file], pq.read_schema(file))
    label.label_missing(1, 1, None, *given, begun, 1)
    with pytest.raises(InputError, match="another teacher for worker 1"):
        label.label_missing(1, 1, None, *given, begun | {"teacher": "0"}, 1)


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes below this one that label, in a pool of PyTorch or of Ray."""
    found = []
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if any(mark in " ".join(child.cmdline()) for mark in ("spawn_main", "ray::label_missing")):
                found.append(child)
    return found


def bytes_of(output: str | Path) -> dict[str, str]:
    """The SHA-256 of everything that a finished run has made for its reader."""
    files = [*Path(output).glob("part-*"), *Path(output).glob("*.json*")]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def label_with_deaths(source: str, folder: str, teacher: str, kills: int, **settings: Any) -> dict[str, Any]:
    """One worker, then several of whom some are killed with -9, each when a few more shards are there: what both made."""
    expected, output, parts = Path(folder) / "expected", Path(folder) / "output", []

    def kill() -> None:
        for death in range(kills):
            while len(list(output.glob("part-*"))) < 1 + 5 * death:
                time.sleep(0.01)
            victim = workers_of(psutil.Process())[0]
            victim.kill()
            victim.wait(60)
            parts.append(len(list(output.glob("part-*"))))

    label_files(source, expected, teacher, shard_size=25)
    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with redirect_stdout(io.StringIO()) as said:
        label_files(source, output, teacher, shard_size=25, **settings)
    killer.join(60)
    return {"expected": bytes_of(expected), "got": bytes_of(output), "parts": parts, "said": said.getvalue()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
@pytest.mark.parametrize("kills", [1, 2])
def test_whoever_dies_the_bytes_are_those_of_one_worker(kills: int, tmp_path: Path, teacher: str) -> None:
    file = simple_input(tmp_path, rows=4000)
    given = {"source": str(file), "folder": str(tmp_path), "teacher": teacher, "kills": kills, "workers": 2}
    result = answer(child("print(json.dumps(test_label.label_with_deaths(**given)))", **given))
    assert result["got"] == result["expected"] and len(result["got"]) == 160 + 2
    assert [count for count in result["parts"] if count < 160] == result["parts"] and len(result["parts"]) == kills  # midway
    assert result["said"] == f"{kills} of 2 workers ended early: what they left is labelled now.\n"
    check_manifest(tmp_path / "output")


def killed_midway(file: Path, output: Path, teacher: str, first: str = "", shards: int = 2) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A run whose first process, which executes ``first`` before, is killed when it has two workers and those ``shards``; and its workers."""
    given = {"source": str(file), "output": str(output), "teacher": teacher, "shard_size": 40, "workers": 2}
    began = child(f"{first}test_label.label_files(**given)", **given)
    while len(list(output.glob("part-*"))) < shards or len(workers := workers_of(psutil.Process(began.pid))) < 2:
        assert began.poll() is None, began.communicate()
        time.sleep(0.02)
    began.kill()
    began.wait()
    return began, workers


@pytest.mark.slow
def test_where_the_process_that_began_is_killed_every_row_is_there_once(tmp_path: Path, teacher: str) -> None:
    """The next run waits for what its workers have claimed, and labels the rest."""
    file, output = simple_input(tmp_path, rows=8000), tmp_path / "output"
    first, workers = killed_midway(file, output, teacher)
    assert len(list(output.glob("part-*"))) < 200
    label_files(file, output, teacher, shard_size=40)
    assert [row["id"] for row in shards_of(output)] == list(range(8000)) and check_manifest(output)
    _, alive = psutil.wait_procs(workers, timeout=60)
    first.communicate()  # once nobody else holds its pipes
    assert alive == []


@pytest.mark.slow
@pytest.mark.parametrize("shards", [0, 2])  # none: workers that still import
def test_workers_end_with_the_process_that_began_the_run_in_a_background_job_too(shards: int, tmp_path: Path, teacher: str) -> None:
    output, background = tmp_path / "output", "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    _, workers = killed_midway(simple_input(tmp_path, rows=40_000), output, teacher, background, shards)
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert len(list(output.glob("part-*"))) < 900  # of 1,000


def peak_of_workers(source: str, output: str, teacher: str) -> float:
    """The most memory that one of two workers held, or one of an earlier call."""
    import resource

    label_files(source, output, teacher, shard_size=128, workers=2)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


@pytest.mark.slow
@needs_fork
def test_ten_times_the_rows_take_a_worker_the_same_memory(tmp_path: Path, teacher: str) -> None:
    given = []
    for rows in (1200, 12_000):
        filler = random.Random(0)
        table = {"text": [TEXTS[i % 40] for i in range(rows)], "filler": [filler.randbytes(5000).hex() for _ in range(rows)]}
        pq.write_table(pa.table(table), tmp_path / f"{rows}.parquet")
        given.append({"source": str(tmp_path / f"{rows}.parquet"), "output": str(tmp_path / f"{rows}"), "teacher": teacher})
    peaks = answer(child("print(json.dumps([test_label.peak_of_workers(**one) for one in given['all']]))", all=given))
    assert peaks[1] - peaks[0] < 60, peaks  # MB; the second file holds 108 MB more, in one row group


def label_on_a_cluster(**given: Any) -> dict[str, Any]:
    """``label_with_deaths`` on two nodes of a Ray cluster, one processor each, that live on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        return label_with_deaths(**given, workers=2, engine="ray")
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None or sys.platform == "win32", reason="needs pip install kdlib[ray], and kill -9")
def test_on_ray_a_worker_that_dies_is_started_again(tmp_path: Path, teacher: str) -> None:
    file = simple_input(tmp_path, rows=4000)
    given = {"source": str(file), "folder": str(tmp_path), "teacher": teacher, "kills": 1}
    result = answer(child("print(json.dumps(test_label.label_on_a_cluster(**given)))", **given))
    assert result["got"] == result["expected"] and len(result["got"]) == 160 + 2
    assert len(result["parts"]) == 1 and result["parts"][0] < 160
    check_manifest(tmp_path / "output")


@pytest.mark.parametrize(("engine", "says"), [("ray", "no engine ray here: .* pip install kdlib"), ("slurm", "no engine slurm here: give local")])
def test_an_engine_that_is_not_there_is_one_sentence(engine: str, says: str, tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=says) as caught:
        label_files(simple_input(tmp_path), tmp_path / "output", teacher, engine=engine)
    assert "\n" not in str(caught.value) and not (tmp_path / "output").exists()


# --- memory -----------------------------------------------------------------------------------------------


def peak_megabytes(source: str, output: str, teacher: str) -> float:
    """The most memory that a run held, measured in a copy of this process."""
    import resource

    file = Path(output + ".peak")

    def run() -> None:
        label_files(source, output, teacher, shard_size=128)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        file.write_text(str(peak), encoding="utf-8")

    assert os.waitpid(fork(run), 0)[1] == 0
    shutil.rmtree(output)
    Path(source).unlink()
    return float(file.read_text(encoding="utf-8"))


@pytest.mark.slow
@needs_fork
def test_ten_times_the_rows_take_the_same_memory(tmp_path: Path, teacher: str) -> None:
    """They are 108 MB more of a column that only passes through; with 1,200 rows Parquet's own buffers (1,024 values) are full."""
    given = []
    for suffix in (".parquet", ".jsonl", ".csv"):
        for rows in (1200, 12_000):
            file, filler = tmp_path / f"{rows}{suffix}", random.Random(0)
            table = {"text": [TEXTS[i % 40] for i in range(rows)], "filler": [filler.randbytes(5000).hex() for _ in range(rows)]}
            if suffix == ".parquet":
                pq.write_table(pa.table(table), file)  # one row group
            elif suffix == ".csv":
                file.write_text("text;filler\n" + "\n".join(map(";".join, zip(*table.values(), strict=True))), encoding="utf-8")
            else:
                lines = (json.dumps(dict(zip(table, row, strict=True))) for row in zip(*table.values(), strict=True))
                file.write_text("\n".join(lines), encoding="utf-8")
            given.append({"source": str(file), "output": str(file) + ".output", "teacher": teacher})
    peaks = answer(child("print(json.dumps([test_label.peak_megabytes(**one) for one in given['all']]))", all=given))
    grown = [many - few for few, many in zip(peaks[::2], peaks[1::2], strict=True)]
    assert max(grown) < 30, peaks


# --- errors -----------------------------------------------------------------------------------------------


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.csv", None, "there is no such file"),
        ("reviews.xlsx", "text", "is or holds none of"),
        ("folder/notes.txt", "text", "is or holds none of"),
        ("empty.csv", "", "is empty"),
        ("header.csv", "id,text\n", "is empty"),
        ("empty.jsonl", "\n\n", "is empty"),
        ("other.csv", "id,words\n1,good\n", "no columns are named text, review or the like.*the columns are id, words"),
        ("two.csv", "text,review\ngood,bad\n", "2 columns are named"),
        ("twice.csv", "text,text\ngood,bad\n", "two columns of one name"),
        ("taken.csv", "text,teacher_logits\ngood,1\n", "one named teacher_logits"),
        ("bad.parquet", b"PAR1 not PAR1", "is no Parquet file"),
        ("list.jsonl", '["good"]\n["bad"]', "no columns are named.*unreadable"),
        ("latin.csv", "id,text,caf\xe9\n1,good,2\n".encode("latin-1"), "no columns are named.*unreadable"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(name: str, content: str | bytes | None, says: str, tmp_path: Path, teacher: str) -> None:
    file = tmp_path / name if content is None else write(tmp_path / name, content)
    with pytest.raises(InputError, match=says) as caught:
        label_files(file.parent if name.startswith("folder") else file, tmp_path / "output", teacher)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_bad_arguments_are_one_sentence(tmp_path: Path, teacher: str) -> None:
    file, output = simple_input(tmp_path), tmp_path / "output"
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "numbers.parquet")
    (tmp_path / "mixed").mkdir()
    for name, column in (("a", "text"), ("b", "review")):
        pq.write_table(pa.table({column: ["good"]}), tmp_path / "mixed" / f"{name}.parquet")
    for given, says in (
        ({"text_column": "words"}, "no columns are named words.*the columns are id, text"),
        ({"shard_size": 0}, "must be 1 or more"),
        ({"workers": 0}, "must be 1 or more"),
        ({"batch_size": -1}, "must be 1 or more"),
        ({"max_length": 129}, "reads 128 tokens at most"),
        ({"teacher": str(tmp_path / "nowhere")}, "No model could be loaded"),
        ({"source": tmp_path / "numbers.parquet"}, "holds int64, not text"),
        ({"source": tmp_path / "mixed"}, "differ in their columns"),
        ({"source": tmp_path, "output": tmp_path}, "is the folder of the input"),
        ({"output": write(tmp_path / "file", "")}, "cannot be written"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            label_files(**({"source": file, "output": output, "teacher": teacher} | given))
        assert "\n" not in str(caught.value)


def test_a_teacher_without_a_trained_classifier_is_refused(tmp_path: Path, made_once: tuple[Any, Any]) -> None:
    tokenizer, classifier = made_once
    BertModel(classifier.config).save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    assert AutoModel.from_pretrained(tmp_path / "encoder")
    with pytest.raises(InputError, match="has no trained classifier: fine-tune it first"):
        label_files(simple_input(tmp_path), tmp_path / "output", str(tmp_path / "encoder"))


# --- the command ------------------------------------------------------------------------------------------


def test_the_command_labels_and_says_what_it_did(tmp_path: Path, teacher: str) -> None:
    file, texts, _ = make_input(tmp_path, ".csv")
    output = tmp_path / "output"
    arguments = ["label", str(file), "--output", str(output), "--teacher", teacher, "--text-column", "text", "--max-length", "20"]
    result = CliRunner().invoke(main, [*arguments, "--batch-size", "3", "--shard-size", "10", "--workers", "1", "--engine", "local"])
    bad = texts.count(None)
    assert (result.exit_code, result.output) == (0, f"{len(texts) - bad} texts labelled, {bad} rows set aside: {output}\n")
    manifest = check_manifest(output)
    assert [manifest[name] for name in ("text_column", "max_length", "batch_size", "shard_size")] == ["text", 20, 3, 10]
    shutil.rmtree(output)
    result = CliRunner().invoke(main, ["label", str(tmp_path / "none.csv"), "--output", str(output)])
    assert (result.exit_code, result.stdout) == (2, "") and result.stderr.startswith("kdlib: ")
    assert not output.exists()
