"""The command hands on what it is given, says what is wrong in one line, and stops quietly."""

import importlib
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from kdlib.cli import main, parse_value
from kdlib.errors import InputError
from kdlib.experiment import Settings


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def replace(monkeypatch: pytest.MonkeyPatch, module: str, name: str, function: Any) -> None:
    """Put ``function`` where a subcommand imports its own from."""
    monkeypatch.setattr(importlib.import_module(f"kdlib.{module}"), name, function)


def words(text: str) -> str:
    """Without line breaks and indentation."""
    return " ".join(text.split())


def test_help_lists_the_subcommands_in_a_sentence_each() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in ("fetch", "report", "sweep", "label", "redistil", "export", "doctor"):
        assert re.search(rf"^  {name}\s+\w+", result.stdout, re.MULTILINE), name


@pytest.mark.parametrize(("command", "own"), [("report", {"output", "help", "task", "test", "teacher-epochs"}), ("sweep", {"output", "help", "workers"})])
def test_help_lists_every_setting_with_its_help(command: str, own: set[str]) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    for parameter in fields(Settings):
        assert f"--{parameter.name.replace('_', '-')} VALUE {words(parameter.metadata['help'])}" in words(result.stdout)
    offered = set(re.findall(r"^  --([a-z0-9-]+)", result.stdout, re.MULTILINE))
    assert own <= offered
    offered -= own
    assert offered == {parameter.name.replace("_", "-") for parameter in fields(Settings)}
    assert max(map(len, result.stdout.splitlines())) <= 110


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("0.5", 0.5), ("3e-4", 3e-4), ("null", None), ("[0, 5, 11]", [0, 5, 11]), ('["zh", "fr"]', ["zh", "fr"]),
        ('{"zh": [5, 11], "en": 2}', {"zh": [5, 11], "en": 2}), ('"3"', "3"), ("quick", "quick"), ("reviews.csv", "reviews.csv"),
        ("", ""), ("C:\\my data\\avis.csv", "C:\\my data\\avis.csv"), ("评论", "评论"), ("[0, 5", "[0, 5"),
    ],
)  # fmt: skip
def test_values_are_read_as_json_and_anything_else_as_it_stands(text: str, value: Any) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_report_hands_on_exactly_what_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []
    replace(monkeypatch, "report", "run_report", lambda output, **given: calls.append((output, given)))
    result = run("report", "--profile", "slice", "--layers", "[0, 11]", "--text-column", "avis", "--alpha", "0.5")
    assert (result.exit_code, result.output) == (0, "")
    run("report", "--output", str(tmp_path), "--languages", '["zh"]')
    given = {"profile": "slice", "layers": [0, 11], "text_column": "avis", "alpha": 0.5}
    assert calls == [(Path("reports"), given), (tmp_path, {"languages": ["zh"]})]


def test_report_of_a_task_hands_on_exactly_what_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []
    replace(monkeypatch, "report", "run_report", None)
    replace(monkeypatch, "report", "run_task_report", lambda output, **given: calls.append((output, given)))
    result = run("report", "--task", "ner", "--data", "a.conll", "--teacher-epochs", "2", "--seeds", "[4]", "--output", str(tmp_path))
    assert (result.exit_code, result.output) == (0, "")
    assert calls == [(tmp_path, {"task": "ner", "data": "a.conll", "teacher_epochs": 2, "seeds": [4]})]


def test_sweep_hands_on_exactly_what_was_given_and_shows_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []

    def sweep(*given: Any, **parameters: Any) -> pd.DataFrame:
        calls.append((*given, parameters))
        return pd.DataFrame({"alpha": ["0.5"] * 90, "validation accuracy": 0.8, **dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 0.123456)}).set_index("alpha")

    replace(monkeypatch, "sweep", "run_sweep", sweep)
    result = run("sweep", "alpha=[0.5, 1]", 'layers=[2, {"zh": [5, 11]}]', "--seeds", "[0, 1]", "--teacher", "a=b")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 92 and "..." not in result.stdout  # nothing is left out
    run("sweep", "teacher=[\"a=b\"]", "--workers", "3", "--output", str(tmp_path))
    run("sweep", "alpha")
    assert calls == [
        ({"alpha": [0.5, 1], "layers": [2, {"zh": [5, 11]}]}, Path("reports/sweep"), 1, {"seeds": [0, 1], "teacher": "a=b"}),
        ({"teacher": ["a=b"]}, tmp_path, 3, {}),
        ({"alpha": ""}, Path("reports/sweep"), 1, {}),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("sweep", "made of nothing"),
        ("sweep alpha=[0.5,1.5]", "alpha is 1.5"),
        ("sweep temprature=[1]", "temprature"),
        ("sweep alpha", "alpha"),
        ("sweep alpha=1", "alpha"),
        ("report --profile huge", "huge"),
        ("report --seeds []", "seeds"),
        ("report --max-length 4", "max_length"),
        ("report --temperature 0", "temperature"),
        ("report --alpha 1.5", "alpha"),
        ("report --objective cosine", "cosine"),
        ("report --teacher-training some", "teacher_training"),
        ("report --task ner", "needs data"),
        ("report --task nre --data a.conll", "'nre'"),
        ("report --task ner --data a.conll --profile quick", "no parameter profile"),
        ("report --teacher-epochs 3", "no parameter teacher_epochs"),
    ],
)
def test_bad_settings_are_one_sentence_and_nothing_is_begun(tmp_path: Path, arguments: str, says: str) -> None:
    result = run(*arguments.split(), "--output", str(tmp_path / "new"))
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("kdlib: ") and says in line
    assert not (tmp_path / "new").exists()


def raise_on_call(error: BaseException) -> Any:
    def function(*args: Any, **kwargs: Any) -> None:
        raise error

    return function


@pytest.mark.parametrize(("module", "name", "arguments"), [
    ("report", "run_report", ["report"]), ("sources", "fetch", ["fetch", "zh"]), ("doctor", "diagnose", ["doctor"]),
    ("label", "label_files", ["label", "texts.csv", "--output", "out"]), ("sweep", "run_sweep", ["sweep", "alpha=[1]"]),
    ("redistil", "roll_back", ["redistil", "store", "--back"]),
])  # fmt: skip
def test_every_subcommand_stops_quietly(monkeypatch: pytest.MonkeyPatch, module: str, name: str, arguments: list[str]) -> None:
    replace(monkeypatch, module, name, raise_on_call(InputError("The table is empty: give one with rows.")))
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "kdlib: The table is empty: give one with rows.\n")
    replace(monkeypatch, module, name, raise_on_call(KeyboardInterrupt()))
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (130, "")
    assert len(result.stderr.splitlines()) == 1 and "kept" in result.stderr


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    replace(monkeypatch, "report", "run_report", raise_on_call(ZeroDivisionError()))
    assert isinstance(run("report").exception, ZeroDivisionError)


@pytest.mark.parametrize("arguments", [["report", "--temprature", "3"], ["distil"], ["report", "--alpha"], ["sweep", "--workers", "0"]])
def test_usage_errors_are_click_s_own(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == click.UsageError.exit_code == 2
    assert "Error: " in result.stderr and "Traceback" not in result.stderr


# --- fetch ------------------------------------------------------------------------------------------------


def test_fetch_from_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDLIB_HOME", str(tmp_path / "home"))
    result = run("fetch", "zh", "--from", str(tmp_path / "missing"))
    assert (result.exit_code, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("kdlib: ") and str(tmp_path / "missing") in last and "without --from" in last
    assert not list((tmp_path / "home").rglob("*.txt"))


def test_fetch_of_an_unknown_name_names_the_known_ones() -> None:
    result = run("fetch", "klingon")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "klingon" in line and "zh" in line


def test_fetch_prints_the_files_of_every_source_or_of_those_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def fake(name: str, archives: Path | None) -> dict[str, Path]:
        asked.append((name, archives))
        return {"a": Path(name) / "a.txt", "b": Path(name) / "b.txt"}

    replace(monkeypatch, "sources", "fetch", fake)
    replace(monkeypatch, "sources", "load_sources", lambda: {"one": None, "two": None})
    assert run("fetch").stdout.split() == [str(Path(name) / file) for name in ("one", "two") for file in ("a.txt", "b.txt")]
    assert run("fetch", "two", "--from", str(tmp_path)).exit_code == 0
    assert asked == [("one", None), ("two", None), ("two", tmp_path)]


def test_the_module_runs_as_a_program_without_a_word_too_many(tmp_path: Path) -> None:
    """In a process of its own: imports that warn, and a traceback after the sentence, would show."""
    command = [sys.executable, "-m", "kdlib", "report", "--profile", "huge", "--output", str(tmp_path / "new")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"kdlib: profile is 'huge': give .*\n", done.stderr)
