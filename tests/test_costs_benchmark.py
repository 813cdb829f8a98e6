"""The benchmarks of cost: growth, FLOPs and shares are computed right, a stage in a process of its own is measured, goals are told apart."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "benchmarks" / "results" / "costs.json"

sys.path.insert(0, str(ROOT / "benchmarks"))
import limit  # noqa: E402
import stages  # noqa: E402
from costs import PARTS, figure, growth  # noqa: E402
from deploy import GOALS, reached  # noqa: E402
from label import save_tiny_teacher  # noqa: E402
from side_by_side import batch_shapes, forward_flops, interleaved, middle, slope, without_fixed_cost  # noqa: E402

# growth


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5])
def test_the_exponent_of_a_power_is_found_and_its_interval_covers_it_as_often_as_it_says(exponent: float) -> None:
    sizes, generator, covered = (10, 100, 1000), np.random.default_rng(0), 0
    for _ in range(400):
        found = slope(sizes, [3 * size**exponent * np.exp(generator.normal(0, 0.1, 3)) for size in sizes])
        covered += found["interval"][0] <= exponent <= found["interval"][1]
    assert 0.92 < covered / 400 < 0.98
    exact = slope(sizes, [[3 * size**exponent] for size in sizes])
    assert exact["exponent"] == pytest.approx(exponent, abs=1e-9) and exact["interval"] is None


@pytest.mark.parametrize("exponent", [1.0, 1.2])
def test_a_fixed_cost_hides_growth_until_it_is_taken_off(exponent: float) -> None:
    runs = {size: [{"seconds": noise * (5 + 1e-4 * size**exponent), "peak_mb": 500 + size / 1000} for noise in (0.99, 1.01)] for size in (1000, 10_000, 100_000)}
    found = growth(runs)
    assert found["reached"] and found["mb_for_1000_rows"] == pytest.approx(1)
    shown, hidden = found["seconds"]["without_fixed_cost"], [found["seconds"][part]["exponent"] for part in ("all_sizes", "last_two")]
    assert max(hidden) < 1 and shown["exponent"] == pytest.approx(exponent, abs=0.01)
    flat = without_fixed_cost((1, 10, 100), [[5.0, 5.1], [4.9, 5.2], [5.0, 5.3]])
    assert flat["interval"] is None  # lost in the spread


def test_every_contestant_runs_in_every_round_and_ratios_are_those_of_a_round() -> None:
    calls: list[str] = []
    contestants = {"slow": lambda: (calls.append("slow"), time.sleep(0.02)), "fast": lambda: calls.append("fast")}
    seconds = interleaved(contestants, 3)
    assert sorted(calls) == ["fast"] * 4 + ["slow"] * 4 and calls[0] != calls[2]
    assert len(seconds["slow"]) == 3 and seconds["slow"].min() >= 0.02 > seconds["fast"].max()
    load = np.array([1.0, 5.0, 2.0])  # what else the machine does hits both
    assert middle(2 * load / load) == {"median": 2.0, "interval": [2.0, 2.0]}


# a stage


def test_made_up_rows_are_the_same_each_time_and_can_be_learnt() -> None:
    rows = stages.made_up(500).to_pydict()
    assert rows == stages.made_up(500).to_pydict() and len(set(rows["text"])) == 500
    told = [stages.CLASSES[stages.VERDICTS.index(text.split()[-1])] for text in rows["text"]]
    assert 0.85 < np.mean([a == b for a, b in zip(told, rows["label"], strict=True)]) < 0.95


def test_a_stage_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    save_tiny_teacher(tmp_path / "tiny", [*stages.WORDS, *stages.VERDICTS])
    pq.write_table(stages.made_up(60), tmp_path / "rows.parquet")
    found = stages.measure("label", tmp_path / "tiny", tmp_path / "rows.parquet", real=False)
    assert found["seconds"] > 0 and found["processor_seconds"] > 0
    assert found["peak_mb"] >= found["process_mb"] >= found["loaded_mb"] > 50  # torch alone takes more


# the limit


@pytest.mark.parametrize(("texts", "tokens"), [(1, 1), (3, 7), (5, 32)])
def test_flops_by_hand_are_those_that_torch_counts(tiny_teacher: Any, texts: int, tokens: int) -> None:
    assert forward_flops(tiny_teacher, [(texts, tokens)]) == limit.counted_flops(tiny_teacher, texts, tokens)


def test_batches_are_those_of_predict_logits(tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from kdlib.evaluate import predict_logits

    texts, seen = tiny_reviews["train"]["text"], []
    forward = type(tiny_teacher).forward

    def spy(self: Any, input_ids: Any = None, attention_mask: Any = None) -> Any:
        seen.append(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, attention_mask=attention_mask)

    monkeypatch.setattr(type(tiny_teacher), "forward", spy)
    predict_logits(tiny_teacher, tiny_tokenizer, texts, batch_size=12)
    lengths = [len(ids) for ids in tiny_tokenizer(list(texts))["input_ids"]]
    assert seen == batch_shapes(sorted(lengths), 12) == [tuple(b["input_ids"].shape) for b in limit.padded(tiny_tokenizer, texts, 12)]


def test_kinds_of_operations_share_all_of_the_time(tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: Any) -> None:
    found = limit.time_by_kind((tiny_teacher, tiny_tokenizer), list(tiny_reviews["test"]["text"]))
    for kinds in found.values():
        assert sum(kinds.values()) == pytest.approx(1)
        assert kinds["matrix products"] > 0 and kinds["GELU"] > 0 and kinds["LayerNorm"] > 0


def test_kl_is_zero_only_between_equals_and_agrees_with_torch() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 50, 3))
    reference = torch.nn.functional.kl_div(*(torch.log_softmax(torch.tensor(x), -1) for x in (b, a)), reduction="batchmean", log_target=True)
    assert limit.kl(a, a) == 0 and limit.kl(a, b) == pytest.approx(float(reference))


# goals and files


def test_a_student_reaches_a_goal_with_its_whole_interval() -> None:
    times = {f"batch 1, {tokens} tokens": {"interval": [GOALS["times_faster"] + 1, 90]} for tokens in (32, 64)}
    same = {"agreement": 0.995, "accuracy_difference": [-0.004, -0.01, 0.001]}
    student = {"times_smaller": {"int8": 120}, "parity": {"test, int8, batch 1": same, "test, int8": {"agreement": 0.5}}}
    assert all(reached(student, times).values())
    times["batch 1, 64 tokens"]["interval"][0] = GOALS["times_faster"] - 1
    same["accuracy_difference"][0] = -0.006
    failed = [name for name, fine in reached(student, times).items() if not fine]
    assert failed == ["faster at 64 tokens", "accuracy, test"]


def test_a_student_is_compared_with_its_exports_and_its_teacher(
    tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated_home: Path
) -> None:
    pytest.importorskip("onnxscript")
    import deploy

    from kdlib import add_teacher_outputs, make_student

    monkeypatch.setattr(deploy, "ROUNDS", 2)
    monkeypatch.setattr(deploy, "CALLS", {1: 1, 32: 1})
    data = tiny_reviews.__class__({**tiny_reviews, "test": add_teacher_outputs(tiny_reviews["test"], tiny_teacher, tiny_tokenizer)})
    students = {"whole": make_student(tiny_teacher, tiny_tokenizer, 4, "full")}  # all layers of the teacher: its logits
    found = deploy.compare(data, (tiny_teacher, tiny_tokenizer), 10**6, students, tmp_path)
    assert found["students"].keys() == students.keys() and len(found["latency"]) == len(deploy.SETTINGS)
    for times in found["latency"].values():
        assert times.keys() == {"teacher", *(f"whole, {kind}" for kind in ("PyTorch", "ONNX", "int8"))}
        assert all(figures["median_ms"] <= figures["p95_ms"] for figures in times.values())
        assert times["teacher"]["interval"] == [1, 1]
    whole = found["students"]["whole"]
    assert whole["parity"]["test, ONNX"]["agreement"] == 1 and whole["int8"]["n"] == 16
    assert whole["parity"]["test, ONNX"]["reference_accuracy"] == found["teacher"]["accuracy"]
    assert 0 < whole["bytes"]["int8"] < whole["bytes"]["ONNX"] and whole["times_smaller"]["int8"] == 10**6 / whole["bytes"]["int8"]
    assert {"faster at 32 tokens", "smaller", "agreement, test", "accuracy, test"} <= whole["reached"].keys()



def test_recorded_figures_are_no_trial_and_the_figure_can_be_drawn() -> None:
    figure({})
    if RECORDED.exists():
        result = json.loads(RECORDED.read_text(encoding="utf-8"))
        assert result.keys() <= PARTS.keys()
        assert all(not part["small"] and part["machine"]["cores"] for part in result.values())
        if "limit" in result:
            assert result["limit"]["flops"]["by_hand"] == result["limit"]["flops"]["counted"]
        figure(result)
