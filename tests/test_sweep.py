"""Every combination of a grid is judged once, on the validation rows alone, whatever happens to the run on its way."""

import contextlib
import csv
import datetime
import importlib.util
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from datasets import DatasetDict, concatenate_datasets
from killing import die_at, fork, needs_fork
from matplotlib.figure import Figure
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kdlib import experiment, sweep
from kdlib.errors import InputError
from kdlib.experiment import Settings, load_datasets, validate
from kdlib.files import locked
from kdlib.sweep import run_sweep

FILES = ("kdlib/sweep.py", "kdlib/files.py", "_rdb/storage.py")  # at whose lines a run may be killed; the last is Optuna's
EXAMPLE = Path(__file__).parent.parent / "examples" / "optuna_study.py"
GRID: dict[str, Any] = {"layers": [1, [1, 3]], "alpha": [0.0, 1.0]}
COMBINATIONS = sorted((json.dumps(alpha), json.dumps(layers)) for alpha, layers in product(GRID["alpha"], GRID["layers"]))  # names sorted


@pytest.fixture(scope="module")
def given(made_once: tuple[Any, Any], tiny_reviews: DatasetDict, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Parameters of a report on a small table (19 validation rows) with the tiny teacher; the transfer set is a file, so that no spans are made."""
    folder = tmp_path_factory.mktemp("sweep")
    for part in made_once:
        part.save_pretrained(folder / "teacher")
    rows = concatenate_datasets([tiny_reviews[name] for name in ("train", "validation", "test")]).to_list()
    with (folder / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for start in ("", "encore ", "again "):
            writer.writerows([start + row["text"], ["negative", "positive"][row["label"]]] for row in rows)
    (folder / "more.txt").write_text("\n".join(tiny_reviews["transfer"]["text"]), encoding="utf-8")
    return {
        "data": str(folder / "reviews.csv"), "transfer": str(folder / "more.txt"), "language": "en", "teacher": str(folder / "teacher"),
        "teacher_training": "none", "epochs": 1, "learning_rate": 5e-3, "max_length": 32, "bf16": False, "seeds": [0], "rows": None,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def pictures_closed() -> Iterator[None]:
    """Each sweep leaves a figure open, which a notebook shows."""
    yield
    plt.close("all")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that are judged; the figures are made of them, so that nothing is trained."""
    calls: list[Settings] = []

    def judge(settings: Settings) -> np.ndarray:
        calls.append(settings)
        return made_up(settings)

    monkeypatch.setattr(sweep, "validate", judge)
    return calls


def made_up(settings: Settings) -> np.ndarray:
    """Right or wrong [2, 50], by alpha and layers."""
    chance = np.random.default_rng(len(str(settings.layers)))
    return (chance.random((2, 50)) < 0.5 + settings.alpha / 3).astype(int)


def studies(output: Path) -> list[optuna.Study]:
    store = f"sqlite:///{output / 'sweep.db'}"
    return [optuna.load_study(study_name=name, storage=store) for name in optuna.get_all_study_names(store)]


def values(table: pd.DataFrame) -> list[Any]:
    return sorted(table.index.tolist())


# --- what comes out ---------------------------------------------------------------------------------------


def test_every_combination_is_judged_exactly_once(tmp_path: Path, given: dict[str, Any], judged: list[Settings],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    drawn, open_before = Figure(), plt.get_fignums()
    monkeypatch.setattr(sweep, "Figure", lambda: drawn)
    table = run_sweep(GRID, tmp_path, **given)
    assert values(table) == COMBINATIONS and list(table.index.names) == ["alpha", "layers"]
    assert sorted((json.dumps(one.alpha), json.dumps(one.layers)) for one in judged) == COMBINATIONS
    for one in judged:  # all that was not swept is as it was given
        assert all(getattr(one, name) == value for name, value in given.items() if value is not None)
    (study,) = studies(tmp_path)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    assert sorted(tuple(trial.params[name] for name in ("alpha", "layers")) for trial in study.trials) == COMBINATIONS
    assert study.best_value == table["validation accuracy"].iloc[0] == table["validation accuracy"].max()
    assert table["validation accuracy"].is_monotonic_decreasing
    assert list(table.columns) == ["validation accuracy", "low", "high", "sd", "seeds", "texts"]
    assert (table["low"] <= table["validation accuracy"]).all() and (table["validation accuracy"] <= table["high"]).all()
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    (axis,) = drawn.axes
    assert plt.get_fignums() == open_before  # nothing stays open
    assert {str(line.get_label()): list(line.get_ydata()) for line in axis.lines} == table.iloc[:, :3].to_dict("list")
    assert [label.get_text() for label in axis.get_xticklabels()] == [f"({alpha}, {layers})" for alpha, layers in table.index]
    stored = pd.read_csv(tmp_path / "sweep.csv", index_col=["alpha", "layers"], dtype={"alpha": str, "layers": str})
    pd.testing.assert_frame_equal(stored, table)


def test_a_value_that_is_given_twice_is_one_trial(tmp_path: Path, given: dict[str, Any], judged: list[Settings]) -> None:
    assert values(run_sweep({"alpha": [0.5, 1.0, 0.5]}, tmp_path, **given)) == ["0.5", "1.0"] and len(judged) == 2


def test_a_second_run_judges_nothing_again(tmp_path: Path, given: dict[str, Any], judged: list[Settings]) -> None:
    first = run_sweep(GRID, tmp_path, **given)
    (tmp_path / "sweep.csv").unlink()
    judged.clear()
    pd.testing.assert_frame_equal(run_sweep(dict(reversed(GRID.items())), tmp_path, **given), first)  # the order of the names means nothing
    assert not judged and (tmp_path / "sweep.csv").exists()


def test_an_error_costs_one_trial(tmp_path: Path, given: dict[str, Any], judged: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    judge = sweep.validate

    def fail_at_third(settings: Settings) -> np.ndarray:
        if len(judged) == 2:
            raise InputError("The disk is full: make room.")
        return judge(settings)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="The disk is full"):
        patch.setattr(sweep, "validate", fail_at_third)
        run_sweep(GRID, tmp_path, **given)
    assert len(judged) == 2
    assert values(run_sweep(GRID, tmp_path, **given)) == COMBINATIONS and len(judged) == 4


@pytest.mark.parametrize("changed", ["a setting", "the seeds", "the grid", "the data"])
def test_what_changes_the_figures_is_another_study(
    changed: str, tmp_path: Path, given: dict[str, Any], judged: list[Settings]
) -> None:
    """Its trials are judged anew and its table has no row of the other; the first one is still there."""
    table = Path(given["data"]).read_text(encoding="utf-8")
    (tmp_path / "own.csv").write_text(table, encoding="utf-8")
    grid, parameters = GRID, given | {"data": str(tmp_path / "own.csv")}
    first = run_sweep(grid, tmp_path / "output", **parameters)
    judged.clear()
    if changed == "a setting":
        parameters["temperature"] = 3.0
    elif changed == "the seeds":
        parameters["seeds"] = [0, 1]
    elif changed == "the grid":
        grid = GRID | {"alpha": [0.0, 0.5]}
    else:
        (tmp_path / "own.csv").write_text(table.replace("mauvais", "médiocre"), encoding="utf-8")
    assert len(run_sweep(grid, tmp_path / "output", **parameters)) == 4 == len(judged)
    assert [len(study.trials) for study in studies(tmp_path / "output")] == [4, 4]
    judged.clear()
    (tmp_path / "own.csv").write_text(table, encoding="utf-8")
    pd.testing.assert_frame_equal(run_sweep(GRID, tmp_path / "output", **(given | {"data": str(tmp_path / "own.csv")})), first)
    assert not judged


def test_the_figures_are_those_of_the_students_on_the_validation_rows(
    tmp_path: Path, given: dict[str, Any], isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed again from the saved students, a text at a time, and with a bootstrap in plain loops."""
    folders: dict[str, list[Path]] = {}
    real = experiment.train_student

    def watched(kind: str, *others: Any) -> Any:
        outcome = real(kind, *others)
        assert kind == "distilled"
        folders.setdefault(json.dumps(others[3].alpha), []).append(outcome.folder)
        return outcome

    monkeypatch.setattr(experiment, "train_student", watched)
    parameters = given | {"seeds": [0, 1, 2], "layers": [1, 3]}
    table = run_sweep({"alpha": [0.0, 1.0]}, tmp_path, **parameters)
    rows = load_datasets(Settings(**parameters))["en"]["validation"]
    assert len(rows) > 10
    for alpha, figures in table.iterrows():
        right = []
        assert len(set(folders[str(alpha)])) == 3
        for folder in folders[str(alpha)]:
            model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
            with torch.no_grad():
                encoded = [tokenizer(text, truncation=True, max_length=32, return_tensors="pt") for text in rows["text"]]
                predicted = [int(model(input_ids=one["input_ids"], attention_mask=one["attention_mask"]).logits.argmax()) for one in encoded]
            right.append([int(a == b) for a, b in zip(predicted, rows["label"], strict=True)])
        means = [sum(run) / len(run) for run in right]
        assert figures["validation accuracy"] == pytest.approx(sum(means) / 3)
        assert figures["sd"] == pytest.approx(pd.Series(means).std())
        assert (figures["seeds"], figures["texts"]) == (3, len(rows))
        chance, draws = random.Random(0), []
        for _ in range(1000):
            texts = chance.choices(range(len(rows)), k=len(rows))
            draws.append(sum(right[seed][text] for seed in chance.choices(range(3), k=3) for text in texts) / 3 / len(rows))
        low, high = np.quantile(draws, [0.025, 0.975])
        near = 1.2 / len(rows)  # where the seeds agree, a bound moves by a whole text at a time
        assert (figures["low"], figures["high"]) == (pytest.approx(low, abs=near), pytest.approx(high, abs=near))
        assert figures["low"] < figures["validation accuracy"] < figures["high"]


def test_the_languages_count_by_their_texts(monkeypatch: pytest.MonkeyPatch, tiny_reviews: DatasetDict) -> None:
    """[seeds, texts of all languages], in the order of the languages."""
    splits = {"en": tiny_reviews, "fr": DatasetDict({**tiny_reviews, "validation": tiny_reviews["validation"].select(range(5))})}
    monkeypatch.setattr(experiment, "load_datasets", lambda settings: dict(splits))
    monkeypatch.setattr(experiment, "prepare_teacher", lambda settings, datasets: ("model", "tokenizer"))
    monkeypatch.setattr(experiment, "label_with_teacher", lambda data, teacher, settings: data)

    def student(kind: str, data: DatasetDict, model: Any, tokenizer: Any, settings: Settings, seed: int) -> Any:
        labels = np.array(data["validation"]["label"])
        return types.SimpleNamespace(logits={"test": np.eye(2)[labels if seed == 7 else 1 - labels]})

    monkeypatch.setattr(experiment, "train_student", student)
    assert validate(Settings(seeds=[7, 8])).tolist() == [[1] * 21, [0] * 21]


# --- the test rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("test_rows", ["absent", "poisoned"])
def test_the_test_rows_make_no_difference(
    test_rows: str, tmp_path: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them, or with other texts and labels in their place, teacher, students and figures are the same."""
    seen: list[str] = []

    def run(name: str) -> tuple[pd.DataFrame, list[str]]:
        monkeypatch.setenv("KDLIB_HOME", str(tmp_path / name))
        table = run_sweep({"alpha": [0.3, 1.0]}, tmp_path / f"{name} output", **given)
        return table, sorted(path.name for path in (tmp_path / name / "students").iterdir())

    real, real_predict = experiment.load_datasets, experiment.predict_logits

    def spoilt(settings: Settings) -> dict[str, DatasetDict]:
        whole = real(settings)
        for data in whole.values():
            test = data.pop("test")
            if test_rows == "poisoned":
                data["test"] = test.map(lambda row: {"text": "poison " + row["text"], "label": 1 - row["label"]})
        return whole

    def watched(model: Any, tokenizer: Any, texts: Any, *others: Any, **more: Any) -> np.ndarray:
        seen.extend(texts)
        return real_predict(model, tokenizer, texts, *others, **more)

    expected = run("expected")
    monkeypatch.setattr(experiment, "load_datasets", spoilt)
    monkeypatch.setattr(sweep, "load_datasets", spoilt)
    monkeypatch.setattr(experiment, "predict_logits", watched)
    got = run("got")
    pd.testing.assert_frame_equal(got[0], expected[0])
    assert got[1] == expected[1] and len(got[1]) == 2
    assert seen and not any(text.startswith("poison") for text in seen)


# --- going on ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes and one train the same students, each in a home of its own."""
    tables = []
    for workers in (1, 2):
        monkeypatch.setenv("KDLIB_HOME", str(tmp_path / f"home{workers}"))
        tables.append(run_sweep({"alpha": [0.3, 1.0], "layers": [1]}, tmp_path / f"output{workers}", workers, **given).sort_index())
    pd.testing.assert_frame_equal(*tables)


def test_the_students_of_a_trial_that_was_cut_off_are_not_trained_again(
    tmp_path: Path, given: dict[str, Any], isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    real = experiment.train_classifier

    def watched(model: Any, tokenizer: Any, rows: Any, held_out: Any, args: Any, *others: Any) -> Any:
        if trained == [0, 1]:
            trained.append(-1)
            raise KeyboardInterrupt
        trained.append(args.seed)
        return real(model, tokenizer, rows, held_out, args, *others)

    monkeypatch.setattr(experiment, "train_classifier", watched)
    with pytest.raises(KeyboardInterrupt):
        run_sweep({"layers": [1]}, tmp_path, **(given | {"seeds": [0, 1, 2]}))
    assert [len(study.trials) for study in studies(tmp_path)] == [0]
    assert len(run_sweep({"layers": [1]}, tmp_path, **(given | {"seeds": [0, 1, 2]}))) == 1
    assert trained == [0, 1, -1, 2]


def kill_many(grid: dict[str, Any], folder: str, given: dict[str, Any], kills: int) -> dict[str, Any]:
    """Runs that are killed, each going on where the last one fell; one that comes to its end leaves its folder to the next.

    Every second one dies at a line of the kit or of Optuna's storage, the others at a moment of the clock. Returns how many
    folders there are, and of each kill how many trials were stored then.
    """
    chance, counted, number, stored = random.Random(0), Path(folder, "lines"), 0, []

    def slowly(settings: Settings) -> np.ndarray:
        time.sleep(0.1)
        return made_up(settings)

    def run(name: str, step: int = 0) -> None:
        count = die_at(step, *FILES)
        run_sweep(grid, Path(folder, name), **given)
        sys.settrace(None)
        counted.write_text(str(count[0]), encoding="utf-8")

    sweep.validate = slowly  # type: ignore[assignment]
    start = time.monotonic()
    assert os.waitpid(fork(lambda: run("whole", -1)), 0)[1] == 0
    seconds, lines = time.monotonic() - start, int(counted.read_text(encoding="utf-8"))
    while len(stored) < kills:
        name, step = str(number), chance.randrange(1, lines) if len(stored) % 2 else 0
        pid = fork(lambda name=name, step=step: run(name, step))  # type: ignore[misc]
        if not step:
            time.sleep(chance.uniform(0, seconds))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            begun = Path(folder, name, "sweep.db").exists() and "trials" in tables(Path(folder, name))
            stored.append(sum(len(study.trials) for study in studies(Path(folder, name))) if begun else 0)
        else:
            assert status == 0
            number += 1
    assert os.waitpid(fork(lambda: run(str(number))), 0)[1] == 0
    return {"folders": number + 1, "stored": stored}


def tables(output: Path) -> list[str]:
    """What the SQLite file holds so far."""
    with contextlib.closing(sqlite3.connect(output / "sweep.db")) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


@pytest.mark.slow
@needs_fork
def test_killed_again_and_again_every_trial_is_there_once(
    tmp_path: Path, given: dict[str, Any], judged: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run_sweep(GRID, tmp_path / "expected", **given)
    begin = "import json, sys; sys.path.insert(0, sys.argv[1]); import test_sweep; print(json.dumps(test_sweep.kill_many(**json.loads(sys.argv[2]))))"
    arguments = {"grid": GRID, "folder": str(tmp_path), "given": given, "kills": 20}
    # Threads are of no use to a tiny teacher, and on a busy machine wait for each other.
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", begin, str(Path(__file__).parent), json.dumps(arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert len(result["stored"]) == 20 and set(result["stored"]) - {0, 4}, result  # also half-way
    monkeypatch.setattr(sweep, "validate", lambda settings: pytest.fail("judged again"))
    for number in range(result["folders"]):
        (study,) = studies(tmp_path / str(number))
        assert sorted(tuple(trial.params[name] for name in ("alpha", "layers")) for trial in study.trials) == COMBINATIONS
        pd.testing.assert_frame_equal(run_sweep(GRID, tmp_path / str(number), **given), expected)


def test_a_second_sweep_at_once_refuses(tmp_path: Path, given: dict[str, Any], judged: list[Settings]) -> None:
    says = r"^Another kdlib sweep is at work in .*: wait until it ends, or choose another folder\.$"
    with locked(tmp_path, "kdlib sweep"), pytest.raises(InputError, match=says):
        run_sweep(GRID, tmp_path, **given)
    assert not judged and not (tmp_path / "sweep.db").exists()
    run_sweep(GRID, tmp_path, **given)
    assert len(judged) == 4


def test_a_clock_that_goes_backwards_changes_nothing(
    tmp_path: Path, given: dict[str, Any], judged: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, ticks = run_sweep(GRID, tmp_path / "expected", **given), iter(range(2_000_000_000, 0, -1000))

    class Backwards(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(next(ticks), tz)

    monkeypatch.setattr(time, "time", lambda: float(next(ticks)))
    monkeypatch.setattr("optuna.trial._frozen.datetime", types.SimpleNamespace(datetime=Backwards, timedelta=datetime.timedelta))
    run_sweep({"alpha": [0.0]}, tmp_path / "output", **given)
    before, first = next(ticks), run_sweep(GRID, tmp_path / "output", **given)
    for path in (tmp_path / "output").rglob("*"):  # as if written in the year 2100, later than what comes now
        os.utime(path, (4_102_444_800, 4_102_444_800))
    judged.clear()
    again = run_sweep(GRID, tmp_path / "output", **given)
    assert not judged and next(ticks) < before
    for table in (first, again):
        pd.testing.assert_frame_equal(table, expected)


# --- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({}, "made of nothing"),
        ({"temprature": [1, 2]}, "made of temprature"),
        ({"alpha": 0.5}, "made of alpha"),
        ({"alpha": []}, "made of alpha"),
        ({"alpha": {"low": 0, "high": 1}}, "made of alpha"),
        ({"temperature": "1,2"}, "made of temperature"),
        ({"seeds": [[0], [1]]}, "made of seeds"),  # which is given besides
        ({"alpha": [0.5, 1.5]}, "alpha is 1.5"),
        ({"alpha": [0.5], "temperature": [1, 2, 0]}, "temperature is 0"),
        ({"layers": [1, "many"]}, "layers is 'many'"),
        ({"objective": ["kl", "cosine"]}, "objective is 'cosine'"),
        ({"teacher_training": ["full", "lroa"], "alpha": [1]}, "teacher_training"),
    ],
)
def test_a_bad_grid_is_one_sentence_before_anything_starts(
    grid: dict[str, Any], says: str, tmp_path: Path, given: dict[str, Any], judged: list[Settings]
) -> None:
    parameters = {name: value for name, value in given.items() if name != "teacher_training"}
    with pytest.raises(InputError, match=says) as caught:
        run_sweep(grid, tmp_path / "output", **parameters)
    assert "\n" not in str(caught.value) and not judged and not (tmp_path / "output").exists()


def test_other_bad_input_is_one_sentence(tmp_path: Path, given: dict[str, Any], judged: list[Settings]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for output, parameters, says in (
        ("output", {"epochs": 0}, "epochs is 0"),
        ("output", {"data": str(tmp_path / "none.csv")}, "no such file"),
        ("file", {}, "cannot be written"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            run_sweep({"alpha": [0.5]}, tmp_path / output, **(given | parameters))
        assert "\n" not in str(caught.value) and not judged


# --- ranges: Optuna's own studies -------------------------------------------------------------------------


def test_the_example_searches_ranges_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specification: Any = importlib.util.spec_from_file_location("optuna_study", EXAMPLE)
    example = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(example)
    monkeypatch.setattr(example, "validate", lambda settings: np.full((2, 9), np.exp(-((settings.temperature - 4) ** 2))))
    monkeypatch.chdir(tmp_path)
    for trials in (3, 12, 12):
        study = example.search(trials)
        assert len(study.trials) == trials
    temperatures = [trial.params["temperature"] for trial in study.trials]
    assert len(set(temperatures)) == 12 and all(1 <= temperature <= 8 for temperature in temperatures)
    assert study.best_value == max(np.exp(-((t - 4) ** 2)) for t in temperatures)
