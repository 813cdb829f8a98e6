"""The comparison with other trainers compares like with like: the same students come out, and the arithmetic is that of FLOPs."""

import copy
import json
import queue
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kdlib.errors import InputError

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import peers
from side_by_side import batch_shapes, forward_flops

EPOCHS = 2
LOOPS = ("kdlib", "Trainer (book)", "loop (tutorial)")


@pytest.fixture(scope="module")
def rows(made_once: Any, tiny_reviews: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of 30 texts in batches of 8 for a student of one layer."""
    place, (tokenizer, teacher) = tmp_path_factory.mktemp("peers") / "task", copy.deepcopy(made_once)
    for part in (teacher, tokenizer):
        part.save_pretrained(place.parent / "teacher")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "BATCH", 8)
        peers.save_student(place, tiny_reviews, teacher, tokenizer, {"layers": [0]})
        peers.save_rows(place / "rows.json", tiny_reviews, tokenizer, count=30, tested=16, grouped=True)
    return place / "rows.json"


@pytest.fixture(scope="module")
def runs(rows: Path) -> dict[str, SimpleNamespace]:
    """What each contestant made of the task, and its laps."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "BATCH", 8)
        for name in LOOPS:
            task, laps = peers.load_task(rows, EPOCHS, bf16=False), []
            start = copy.deepcopy(task.student.state_dict())
            steps = count_steps(task.student)
            clock = peers.Clock(lambda seconds, laps=laps, steps=steps: laps.append((seconds, len(steps))))
            peers.CONTESTANTS[name](task, clock)
            clock.lap()
            made[name] = SimpleNamespace(student=task.student, start=start, laps=laps, steps=steps)
    return made


def count_steps(student: Any) -> list[tuple[int, ...]]:
    """A list that grows by the shape of each batch that the student sees."""
    seen: list[tuple[int, ...]] = []
    student.register_forward_hook(lambda model, args, kwargs, output: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True)
    return seen


def test_all_see_the_same_batches_and_take_as_many_steps(runs: dict[str, SimpleNamespace]) -> None:
    shapes = runs["kdlib"].steps
    assert len(shapes) == 4 * EPOCHS and [rows for rows, _ in shapes] == [8, 8, 8, 6] * EPOCHS
    assert all(run.steps == shapes for run in runs.values())


def test_laps_end_where_epochs_begin(runs: dict[str, SimpleNamespace]) -> None:
    for run in runs.values():
        assert [steps for _, steps in run.laps] == [0, 4, 8]  # set-up, first epoch, second epoch
        assert all(seconds > 0 for seconds, _ in run.laps)


def test_the_same_student_comes_out(runs: dict[str, SimpleNamespace]) -> None:
    trained = {name: run.student.state_dict() for name, run in runs.items()}
    for key, first in runs["kdlib"].start.items():
        own = trained["kdlib"][key]
        for name in LOOPS[1:]:
            assert torch.equal(runs[name].start[key], first)
            if not key.endswith("key.bias"):  # adds the same to all scores of a query: its gradient is rounding, which Adam blows up
                torch.testing.assert_close(trained[name][key], own, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(trained["kdlib"]["classifier.weight"], runs["kdlib"].start["classifier.weight"], atol=1e-4)


def test_flops_are_those_that_pytorch_counts(rows: Path) -> None:
    task = peers.load_task(rows, EPOCHS, bf16=False)
    for model in (task.teacher, task.student.train()):
        ids = torch.full((6, 11), 5)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as forward:
            loss = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.sum()
        assert forward_flops(model, [(6, 11)]) == forward.get_total_flops()
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as backward:
            loss.backward()
        assert backward.get_total_flops() == 2 * forward.get_total_flops()


def test_the_prediction_is_what_the_batches_cost(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "BATCH", 8)
    task = peers.load_task(rows, 5, bf16=False)
    found = peers.predict(task)
    assert found["epoch_ratio"] == 1 + found["teacher_flops"] / found["student_flops"]
    assert 1 < found["total_ratio"] < found["epoch_ratio"]
    assert found["labelling_flops"] == found["teacher_flops"]  # grouped by length on both sides
    longer = peers.predict(peers.load_task(rows, 500, bf16=False))
    assert found["total_ratio"] < longer["total_ratio"] < longer["epoch_ratio"] == found["epoch_ratio"]


def test_grouping_saves_padding_and_loses_no_text() -> None:
    lengths = np.random.default_rng(0).integers(3, 100, size=330).tolist()
    padded = {}
    for grouped in (True, False):
        order = peers.batch_order(lengths, grouped)
        assert sorted(order) == list(range(330)) and order.tolist() == peers.batch_order(lengths, grouped).tolist()
        padded[grouped] = sum(texts * tokens for texts, tokens in batch_shapes([lengths[i] for i in order], peers.BATCH))
    assert sum(lengths) < padded[True] < 1.15 * sum(lengths) < 1.5 * sum(lengths) < padded[False]


def test_a_summary_compares_epochs_side_by_side() -> None:
    labels, flops = [0, 1, 1, 0], {"student_flops": 1e9, "teacher_flops": 4e9}
    right, wrong = np.eye(2)[labels], np.eye(2)[[0, 1, 1, 1]]
    laps = {"kdlib": [10.0, 9.0, 1.0, 2.0, 1.0], "loop (tutorial)": [1.0, 20.0, 5.0, 12.0, 7.0]}
    results = {"kdlib": {"seconds": laps["kdlib"], "logits": right}, "loop (tutorial)": {"seconds": laps["loop (tutorial)"], "logits": wrong}}
    table = peers.summarise(results, labels, flops)
    other = table["loop (tutorial)"]
    assert (other["epoch_ratio"], other["epoch_ratio_range"]) == (6, [5, 7])  # of 5, 6, 7: the first epoch warms up
    assert other["total_ratio"] == 45 / 23 and other["setup_seconds"] == 1
    assert other["gflops_per_second"] == 5 / 7 and table["kdlib"]["gflops_per_second"] == 1
    assert (other["accuracy"], other["accuracy_difference"][0], other["agreement"]) == (0.75, -0.25, 0.75)
    row = {"row": "a row", "predicted": {"epoch_ratio": 5.0, "total_ratio": 2.0}, "contestants": table}
    assert peers.verdicts(row) == {"loop (tutorial)": {"epoch_ratio": True, "total_ratio": False, "same_accuracy": True}}
    assert peers.table_of([row]).loc[("a row", "loop (tutorial)"), "measured"] == "6.0"


class Thread:
    """``peers.Contestant`` without a process."""

    def __init__(self, name: str, python: Any = None) -> None:
        self.name, self.jobs, self.answers = name, queue.Queue(), queue.Queue()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self) -> None:
        """As ``peers.worker``."""
        while job := self.jobs.get():
            peers.serve(self.name, job, lambda message: (self.answers.put(message), self.jobs.get()))

    def tell(self, message: Any = None) -> None:
        """A task, or None: go on."""
        self.jobs.put(message)

    def hear(self) -> Any:
        """What it says next."""
        return self.answers.get(timeout=60)

    stop = tell


def test_the_small_form_predicts_measures_and_writes(
    made_once: Any, tiny_reviews: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "Contestant", Thread)
    monkeypatch.setattr(peers.kdlib, "load_teacher", lambda: copy.deepcopy(made_once[::-1]))
    monkeypatch.setattr(peers.kdlib, "load_reviews", lambda language: tiny_reviews)
    monkeypatch.setattr(peers, "STUDENTS", {"layers": {"zh": [0]}})
    monkeypatch.setattr(peers, "fast_bf16", lambda: False)
    peers.main("--small", "--texts", "32", "--no-textbrewer", "--output", str(tmp_path / "peers.json"))
    report = json.loads((tmp_path / "peers.json").read_text(encoding="utf-8"))
    assert report["small"] and report["textbrewer"] == "Left out by --no-textbrewer." and report["machine"]["cores"]
    assert [(row["row"], list(row["contestants"])) for row in report["rows"]] == [
        ("zh fp32", list(LOOPS)),
        ("zh fp32, batches at random", ["kdlib", "loop (tutorial)"]),
    ]
    for row in report["rows"]:
        assert row["predicted"]["epoch_ratio"] > row["predicted"]["total_ratio"] > 1
        for figures in row["contestants"].values():
            assert len(figures["epoch_seconds"]) == 2 and figures["agreement"] == 1 and figures["accuracy_difference"][0] == 0
    assert report["padding"]["kdlib"]["predicted"] == report["padding"]["loop (tutorial)"]["predicted"] == 1  # all 32 in one batch
    printed = capsys.readouterr().out
    assert printed.index("Predicted from FLOPs") < printed.index("loop (tutorial): ")
    assert "zh fp32, against Trainer (book): epoch_ratio" in printed and "Without grouping by length, kdlib" in printed


def test_without_textbrewer_one_sentence_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: list[str], **_: Any) -> SimpleNamespace:
        return SimpleNamespace(returncode=1, stderr="a warning\nERROR: no such index\n")

    monkeypatch.setattr(peers.subprocess, "run", refuse)
    with pytest.raises(InputError, match=r"^pip could not install textbrewer\S+ into \S+ \(ERROR: no such index\): .*--no-textbrewer\.$"):
        peers.textbrewer_python(tmp_path / "environment")
    assert list(tmp_path.iterdir()) == []
    python = tmp_path / "other" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    python.parent.mkdir(parents=True)
    python.touch()
    with pytest.raises(InputError, match=r"^TextBrewer in \S+ cannot be imported \(ERROR: no such index\): .*--no-textbrewer\.$"):
        peers.textbrewer_python(tmp_path / "other")


def test_recorded_figures_are_no_trial() -> None:
    recorded = Path(peers.__file__).parent / "results" / "peers.json"
    if recorded.exists():
        report = json.loads(recorded.read_text(encoding="utf-8"))
        assert not report["small"] and report["machine"]["cores"]
        for row in report["rows"]:
            assert row["contestants"]["kdlib"]["epoch_ratio"] == 1 and peers.verdicts(row) == row["reached"]
