"""A new version takes the place of the old one by the rule alone, and nothing that happens to a run changes what is in service."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from datasets import ClassLabel, Dataset, concatenate_datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from killing import fork, needs_fork
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

from kdlib import make_student, predict_logits, redistil
from kdlib.cli import main
from kdlib.errors import InputError
from kdlib.files import locked
from kdlib.redistil import decide, in_service, promote, roll_back

# --- a store, its teacher, and texts ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoints(made_once: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny teacher and a student of two of its layers, each in a folder."""
    folder, (tokenizer, teacher) = tmp_path_factory.mktemp("checkpoints"), made_once
    for name, parts in {"teacher": (teacher, tokenizer), "student": make_student(teacher, tokenizer, 2, "full")}.items():
        for part in parts:
            part.save_pretrained(folder / name)
    return folder


@pytest.fixture
def store(checkpoints: Path, isolated_home: Path, tmp_path: Path) -> Path:
    """A store with the student as its first version, which no file calls the current one yet."""
    shutil.copytree(checkpoints / "student", tmp_path / "store" / "1")
    return tmp_path / "store"


@pytest.fixture
def run(store: Path, checkpoints: Path, tiny_reviews: Any) -> Callable[..., dict[str, Any]]:
    """One short run on the store, with what is given in place of the usual arguments."""

    def run(**given: Any) -> dict[str, Any]:
        usual = {"texts": tiny_reviews["transfer"]["text"], "tests": {"old": tiny_reviews["test"]}, "teacher": str(checkpoints / "teacher"), "epochs": 1}
        return redistil.redistil(**{"store": store, **usual, **given})

    return run


def load(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer as anyone would load them."""
    return AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def judged_by_the_teacher(checkpoints: Path, tiny_reviews: Any) -> Dataset:
    """All texts with the class that the teacher chooses as their label."""
    texts = [text for part in tiny_reviews.values() for text in part["text"]]
    labels = predict_logits(*load(checkpoints / "teacher"), texts).argmax(-1)
    return Dataset.from_dict({"text": texts, "label": labels.tolist()})


def content(store: Path) -> dict[str, bytes]:
    """What a reader of the store sees: every file of every version, and ``current``; nothing hidden."""
    files = {path.relative_to(store): path for path in store.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in files.items() if not name.parts[0].startswith(".")}


def always_promotes(before: Any, after: Any, margin: float) -> dict[str, Any]:
    """In place of the rule."""
    return {"promoted": True, "reasons": [], "tests": {}}


# --- the rule ---------------------------------------------------------------------------------------------

pairs = st.integers(1, 60).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 1), min_size=n, max_size=n)] * 2))
several = st.dictionaries(st.sampled_from(["old", "new", "other"]), pairs, min_size=1)
margins = st.floats(0, 0.5)
few = settings(max_examples=40)


def ask(tests: dict[str, tuple[list[int], list[int]]], margin: float) -> dict[str, Any]:
    before, after = ({name: np.array(pair[i]) for name, pair in tests.items()} for i in (0, 1))
    return decide(before, after, margin)


@few
@given(tests=several, margin=margins)
def test_promoted_where_no_set_may_have_lost_the_margin_and_one_has_gained(tests: Any, margin: float) -> None:
    said = ask(tests, margin)
    may_have_lost = any(figures["low"] <= -margin for figures in said["tests"].values())
    has_gained = any(figures["low"] > 0 and figures["high"] > 0 for figures in said["tests"].values())
    assert said["promoted"] is (has_gained and not may_have_lost)


@few
@given(tests=several)
def test_figures_are_counts(tests: Any) -> None:
    for name, figures in ask(tests, 0.01)["tests"].items():
        before, after = tests[name]
        assert figures["n"] == len(before)
        assert (figures["old"], figures["new"]) == pytest.approx((before.count(1) / len(before), after.count(1) / len(after)))
        assert figures["difference"] == pytest.approx(figures["new"] - figures["old"])
        assert figures["low"] <= figures["difference"] + 1e-9 and figures["difference"] <= figures["high"] + 1e-9


@few
@given(tests=several, margin=margins, wider=margins)
def test_a_wider_margin_never_takes_a_promotion_back(tests: Any, margin: float, wider: float) -> None:
    assert ask(tests, max(margin, wider))["promoted"] >= ask(tests, min(margin, wider))["promoted"]


@few
@given(tests=several, margin=margins)
def test_one_spoilt_test_set_is_enough_to_refuse_and_it_is_named(tests: Any, margin: float) -> None:
    said = ask({**tests, "spoilt": ([1] * 50, [0] * 50)}, margin)
    assert not said["promoted"]
    assert [reason.split(":")[0] for reason in said["reasons"]] == [*tests, "spoilt"]
    assert f"100.0 points worse than the old one (95 % interval -100.0 to -100.0). It may be {100 * margin:g} points worse or more." in said["reasons"][-1]


@few
@given(right=st.lists(st.integers(0, 1), min_size=1, max_size=60), margin=margins)
def test_what_changes_nothing_is_not_promoted(right: list[int], margin: float) -> None:
    assert not ask({"same": (right, right)}, margin)["promoted"]


@pytest.mark.parametrize(("gained", "lost", "promoted"), [(40, 0, True), (3, 0, False), (40, 3, True), (40, 30, False), (0, 40, False)])
def test_known_cases(gained: int, lost: int, promoted: bool) -> None:
    """Of 1,000 texts on each side: how many the new version has gained on the one and lost on the other, with a margin of 1 point."""
    known = np.zeros(1000), np.ones(1000)
    new, old = np.arange(1000) < gained, np.arange(1000) >= lost
    assert decide(dict(zip("ab", known, strict=True)), {"a": new, "b": old}, 0.01)["promoted"] is promoted


# --- a run ------------------------------------------------------------------------------------------------


def test_a_version_that_lost_nothing_and_gained_nothing_is_kept_and_not_promoted(store: Path, run: Any, tiny_reviews: Any) -> None:
    before = content(store)
    said = run(replay=tiny_reviews["train"]["text"], max_length=64, seed=3)
    assert (said["version"], said["replaces"], said["promoted"]) == (2, 1, False)
    assert (said["texts"], said["replay"], said["seed"], said["epochs"], said["margin"], said["max_length"]) == (32, 32, 3, 1, 0.01, 64)
    assert json.loads((store / "2" / "redistil.json").read_text(encoding="utf-8")) == said
    assert in_service(store) == store / "1" and {name: data for name, data in content(store).items() if name in before} == before
    (model, tokenizer), test = load(store / "2"), tiny_reviews["test"]
    right = predict_logits(model, tokenizer, test["text"], max_length=64).argmax(-1) == np.array(test["label"])
    assert said["tests"]["old"]["new"] == right.mean() and said["tests"]["old"]["n"] == 16
    old_model, old_tokenizer = load(store / "1")
    assert tokenizer.get_vocab() == old_tokenizer.get_vocab()
    assert model.config.hidden_dropout_prob == old_model.config.hidden_dropout_prob > 0  # off in training, as it was in the file
    assert any(not np.array_equal(model.state_dict()[name], tensor) for name, tensor in old_model.state_dict().items())


def test_the_student_learns_from_the_teacher_and_is_promoted(store: Path, run: Any, checkpoints: Path, tiny_reviews: Any) -> None:
    tests = {"as the teacher": judged_by_the_teacher(checkpoints, tiny_reviews)}
    said = run(tests=tests, texts=tests["as the teacher"]["text"], epochs=30)
    figures = said["tests"]["as the teacher"]
    assert said["promoted"] and figures["low"] > 0 and figures["new"] > figures["old"]
    assert in_service(store) == store / "2" and (store / "current").read_text(encoding="utf-8") == "2\n"
    again = run(tests=tests, epochs=1)
    assert (again["version"], again["replaces"]) == (3, 2)
    assert again["tests"]["as the teacher"]["old"] == figures["new"]  # it starts from the one in service


def test_it_learns_the_teacher_s_logits_on_new_and_old_text_and_no_label(run: Any, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(redistil, "train_classifier", lambda *given: seen.extend(given))
    run(texts=["great fun", "bad"], replay=["the film : good"], epochs=2, seed=5)
    model, _, rows, _, args, _ = seen
    assert rows["text"][:] == ["great fun", "bad", "the film : good"] and set(rows["label"]) == {-1}
    np.testing.assert_allclose(rows["teacher_logits"][:], predict_logits(*load(checkpoints / "teacher"), rows["text"]), atol=1e-5)
    assert (args.alpha, args.seed, args.num_train_epochs, args.eval_strategy) == (1.0, 5, 2, "no")
    assert {module.p for module in model.modules() if type(module).__name__ == "Dropout"} == {0.0}


def test_the_same_seed_gives_the_same_version(store: Path, run: Any) -> None:
    for _ in range(2):
        run(seed=1)
    assert (store / "2" / "model.safetensors").read_bytes() == (store / "3" / "model.safetensors").read_bytes()


def test_class_labels_may_have_more_names_than_the_student(run: Any, tiny_reviews: Any) -> None:
    test = tiny_reviews["test"].cast_column("label", ClassLabel(names=["negative", "positive", "mixed"]))
    assert run(tests={"diagnostics": test})["tests"]["diagnostics"]["n"] == 16


# --- in service -------------------------------------------------------------------------------------------


def test_back_and_on(store: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redistil, "decide", always_promotes)
    for number in (2, 3):
        assert run()["version"] == number and in_service(store) == store / str(number)
    roll_back(store)
    assert in_service(store) == store / "2"
    roll_back(store)
    assert in_service(store) == store / "1"
    with pytest.raises(InputError, match="replaced no other"):
        roll_back(store)
    said = run()  # goes on from the first, under a number of its own
    assert (said["version"], said["replaces"]) == (4, 1) and in_service(store) == store / "4"
    roll_back(store)
    assert in_service(store) == store / "1"
    promote(store, "3")
    assert in_service(store) == store / "3"


@pytest.mark.parametrize("version", [5, 0, -1, "", "one", "..", "1/../1", "store"])
def test_what_is_no_version_is_not_promoted(store: Path, version: Any) -> None:
    with pytest.raises(InputError, match="has no version"):
        promote(store, version)
    assert not (store / "current").exists()


@pytest.mark.parametrize("text", ["7", "", "one", "../store/1", "1 2", "\x00"])
def test_a_current_that_names_no_version_is_one_sentence(store: Path, text: str) -> None:
    (store / "current").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="has no version"):
        in_service(store)


def test_a_roll_back_while_a_run_is_at_work_holds(store: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redistil, "decide", always_promotes)
    run()
    real = redistil.train_classifier

    def interrupted(*given: Any) -> Any:
        roll_back(store)
        return real(*given)

    monkeypatch.setattr(redistil, "train_classifier", interrupted)
    said = run()
    assert (said["version"], said["replaces"], said["promoted"]) == (3, 2, False) and "meanwhile" in said["reasons"][-1]
    assert in_service(store) == store / "1" and json.loads((store / "3" / "redistil.json").read_bytes()) == said


# --- stopped, killed, started twice -----------------------------------------------------------------------


@pytest.mark.parametrize("step", ["add_teacher_outputs", "train_classifier", "decide", "write_json"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_run_that_stops_leaves_the_store_as_it_was(step: str, error: Any, store: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: Any, **settings: Any) -> None:
        raise error

    before = content(store)
    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, OSError, InputError)):
        patch.setattr(redistil, step, stop)
        run()
    assert content(store) == before and {path.name for path in store.iterdir()} == {"1", ".progress"}
    assert run()["version"] == 2


def kill_twice(**given: Any) -> None:
    """Runs in copies of this process that die at once in the middle of the training, and of the writing."""
    tests = {"test": Dataset.from_dict({"text": ["good", "bad"], "label": [1, 0]})}
    for step in ("train_classifier", "write_json"):

        def run(step: str = step) -> None:
            setattr(redistil, step, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            redistil.redistil(Path(given["store"]), ["good film"], tests, given["teacher"], epochs=1)

        assert os.WTERMSIG(os.waitpid(fork(run), 0)[1]) == signal.SIGKILL


@needs_fork
def test_a_killed_run_leaves_the_store_as_it_was_and_no_lock(store: Path, run: Any, checkpoints: Path) -> None:
    before, arguments = content(store), json.dumps({"store": str(store), "teacher": str(checkpoints / "teacher")})
    begin = "import json, sys; sys.path.insert(0, sys.argv[1]); import test_redistil; test_redistil.kill_twice(**json.loads(sys.argv[2]))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", begin, str(Path(__file__).parent), arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert content(store) == before
    assert run()["version"] == 2


def test_a_second_run_refuses(store: Path, run: Any) -> None:
    before = content(store)
    says = r"^Another kdlib redistil is at work in .*: wait until it ends, or choose another folder\.$"
    with locked(store, "kdlib redistil"), pytest.raises(InputError, match=says):
        run()
    assert content(store) == before


# --- bad input --------------------------------------------------------------------------------------------


def table(labels: list[Any], **columns: Any) -> Dataset:
    return Dataset.from_dict({"text": ["good"] * len(labels), "label": labels} | columns)


def named(labels: list[int], names: list[str]) -> Dataset:
    return table(labels).cast_column("label", ClassLabel(names=names))


@pytest.mark.parametrize(("given", "says"), [
    ({"texts": []}, "0 new texts"), ({"texts": [], "replay": ["good"]}, "0 new texts"), ({"tests": {}}, "0 test sets"),
    ({"texts": "good film"}, "single string"), ({"texts": ["good", None]}, "Text 1 is None"), ({"replay": [3]}, "Text 0 is 3"),
    ({"tests": {"mine": table([0, 2])}}, "mine needs .* 0 to 1 for negative, positive: rename"), ({"tests": {"mine": table([0, -1])}}, "mine needs"),
    ({"tests": {"mine": table(["negative", "positive"])}}, "mine needs"), ({"tests": {"mine": table([0.5, 1.0])}}, "mine needs"),
    ({"tests": {"mine": table([])}}, "mine needs"), ({"tests": {"mine": table([0, 1]).remove_columns("label")}}, "mine needs"),
    ({"tests": {"mine": named([0, 1], ["positive", "negative"])}}, "mine needs"), ({"tests": {"mine": named([0, 2], ["negative", "positive", "mixed"])}}, "mine needs"),
    ({"tests": {"mine": table([0, 1], text=["good", None])}}, "Text 1 is None"),
    ({"margin": -0.1}, "margin is -0.1"), ({"margin": 1.0}, "margin is 1.0"), ({"margin": float("nan")}, "margin is nan"),
    ({"epochs": 0}, "epochs 0"), ({"epochs": float("inf")}, "epochs inf"), ({"max_length": 0}, "max_length is 0"), ({"max_length": 129}, "reads 128 tokens"),
    ({"teacher": "no/such-teacher"}, "no/such-teacher"),
])  # fmt: skip
def test_bad_input_is_one_sentence_and_nothing_is_trained(given: dict[str, Any], says: str, store: Path, run: Any) -> None:
    before = content(store)
    with pytest.raises(InputError, match=says) as caught:
        run(**given)
    assert "\n" not in str(caught.value) and str(caught.value).endswith((".", ")"))
    assert content(store) == before


@pytest.mark.parametrize("made", ["nothing", "an empty folder", "a second version", "an empty version"])
def test_a_store_without_a_version_stays_as_it_is(made: str, tmp_path: Path, checkpoints: Path, run: Any) -> None:
    other = tmp_path / "other"
    if made != "nothing":
        (other / "1" if made == "an empty version" else other).mkdir(parents=True)
    if made == "a second version":
        shutil.copytree(checkpoints / "student", other / "2")
    before = [path.name for path in other.rglob("*")]
    with pytest.raises(InputError, match="has no version 1 of a student: copy a student's folder"):
        run(store=other)
    assert [path.name for path in other.rglob("*")] == before


@pytest.mark.parametrize("names", [["negative", "positive", "mixed"], ["positive", "negative"], ["0", "1"]])
def test_a_teacher_of_other_classes_is_refused(names: list[str], run: Any, tmp_path: Path, made_once: tuple[Any, Any]) -> None:
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    BertForSequenceClassification(BertConfig(**(made_once[1].config.to_dict() | labels))).save_pretrained(tmp_path / "teacher")
    made_once[0].save_pretrained(tmp_path / "teacher")
    with pytest.raises(InputError, match=f"tells {', '.join(names)} apart, and the student negative, positive"):
        run(teacher=str(tmp_path / "teacher"))


# --- the command ------------------------------------------------------------------------------------------


def command(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["redistil", *map(str, arguments)])


@pytest.fixture
def files(tmp_path: Path, tiny_reviews: Any) -> dict[str, Path]:
    """New text, old text, and two test sets, one with names and one with numbers as labels."""
    names = {name: tmp_path / f"{name}.csv" for name in ("named", "numbered")} | {name: tmp_path / f"{name}.txt" for name in ("new", "old")}
    names["new"].write_text("\n".join(tiny_reviews["transfer"]["text"]), encoding="utf-8")
    names["old"].write_text("great fun\nbad\n", encoding="utf-8")
    rows = concatenate_datasets([tiny_reviews[name] for name in ("train", "validation", "test")]).to_list()
    for name in ("named", "numbered"):
        with names[name].open("w", encoding="utf-8", newline="") as file:
            labels = [["negative", "positive"][row["label"]] if name == "named" else row["label"] for row in rows]
            csv.writer(file).writerows([("review", "label"), *zip([row["text"] for row in rows], labels, strict=True)])
    return names


def test_the_command_reads_files_and_says_what_came_out(store: Path, checkpoints: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = ("--teacher", checkpoints / "teacher", "--epochs", 1)
    tests = ("--test", files["named"], "--test", files["numbered"])
    done = command(store, files["new"], "--replay", files["old"], *tests, *teacher, "--margin", 0.02, "--seed", 4)
    assert done.exit_code == 0, done.output
    said = json.loads((store / "2" / "redistil.json").read_text(encoding="utf-8"))
    assert (said["texts"], said["replay"], said["margin"], said["seed"], said["epochs"]) == (32, 2, 0.02, 4, 1)
    named, numbered = (said["tests"][str(files[name])] for name in ("named", "numbered"))
    assert named == numbered and named["n"] == 64
    assert done.stdout.splitlines() == [*said["reasons"], f"in service: {store / '1'}"]
    monkeypatch.setattr(redistil, "decide", always_promotes)
    assert command(store, files["new"], *tests, *teacher).stdout.splitlines()[-1] == f"in service: {store / '3'}"
    assert command(store, "--back").stdout == f"in service: {store / '1'}\n"


@pytest.mark.parametrize(("arguments", "says"), [
    (["missing", "{new}", "--test", "{named}"], "has no version 1"), (["missing", "--back"], "has no version 1"), (["{store}", "--back"], "replaced no other"),
    (["{store}", "--test", "{named}"], "0 new texts"), (["{store}", "{new}"], "0 test sets"), (["{store}", "missing.csv", "--test", "{named}"], "no such file"),
    (["{store}", "{new}", "--test", "{old}"], "old.txt"), (["{store}", "{new}", "--test", "{named}", "--margin", "2"], "margin is 2.0"),
])  # fmt: skip
def test_bad_arguments_are_one_sentence(arguments: list[str], says: str, store: Path, files: dict[str, Path]) -> None:
    done = command(*(argument.format(store=store, **files) for argument in arguments))
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("kdlib: ") and says in line
    assert {path.name for path in store.iterdir()} <= {"1", ".progress"}
