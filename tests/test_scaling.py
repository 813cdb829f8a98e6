"""The page on a billion reviews: its blocks print what stands below them, and its simulation agrees with the formula."""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "book" / "scaling.md").read_text(encoding="utf-8")

sys.path.insert(0, str(ROOT / "benchmarks"))
from scaling import BLOCK, daly, expected_seconds, measure_costs, run_blocks, simulate, young  # noqa: E402


def test_every_block_prints_what_stands_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # and back
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert len(BLOCK.findall(PAGE)) == PAGE.count("```python") == PAGE.count("```text") >= 10
    assert run_blocks(PAGE).splitlines() == PAGE.splitlines()
    changed = PAGE.replace("REVIEWS = 1_000_000_000", "REVIEWS = 1_000_000")
    assert run_blocks(changed).splitlines() != changed.splitlines()


def test_the_run_that_is_played_through_agrees_with_the_formula() -> None:
    assert "True" not in BLOCK.findall(PAGE[PAGE.index("## 6.") :])[0][1]  # "beyond 3 standard errors"


def test_what_the_page_cites_is_among_the_references() -> None:
    references = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    for number in re.findall(r"arxiv\.org/abs/([\d.]+)", PAGE):
        assert f"{{{number}}}" in references, number
    for doi in re.findall(r"doi\.org/(10\.[^)\s]+)", PAGE):
        assert f"{{{doi}}}" in references, doi


@pytest.mark.parametrize("work", [1.0, 10.0, 100.0, 300.0])
def test_a_shard_takes_what_the_formula_says(work: float) -> None:
    run = simulate(20_000, 50, work - 0.5, 0.5, mtbf=100.0, restart=7.0, seed=int(work))
    assert abs(run["mean"] - expected_seconds(work, 100.0, 7.0)) < 4 * run["error"]
    assert abs(run["failures"] / 20_000 - math.expm1(work / 100)) < 4 * math.sqrt(math.exp(2 * work / 100) / 20_000)


def test_without_failures_nothing_is_lost_and_work_is_shared() -> None:
    run = simulate(30, 3, 9.0, 1.0, mtbf=1e15, restart=1e9)
    assert (run["failures"], run["mean"], run["end"], run["busy"]) == (0, 10.0, 100.0, 1.0)
    uneven = simulate(31, 3, 9.0, 1.0, mtbf=1e15, restart=1e9)
    assert uneven["end"] == 110 and uneven["busy"] == pytest.approx(310 / 330)


def test_first_and_higher_order_are_near_the_best_interval() -> None:
    for cost, mtbf in ((0.01, 21_600.0), (5.0, 360.0), (5.0, 15.0)):
        best = minimize_scalar(lambda s, cost=cost, mtbf=mtbf: expected_seconds(s + cost, mtbf, 0) / s, bounds=(1e-3, 10 * mtbf), method="bounded")
        errors = [abs(guess / best.x - 1) for guess in (young(cost, mtbf), daly(cost, mtbf))]
        assert errors[1] < errors[0] and errors[1] < 0.02
    assert [round(daly(5, 60 * hours)) for hours in (24, 6)] == [117, 57]  # Daly 2006, figures 3 and 4
    assert round(daly(5, 15), 1) == 9.1  # figure 5


def test_costs_are_measured_and_those_on_file_say_where(monkeypatch: pytest.MonkeyPatch, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    import scaling

    monkeypatch.setattr(scaling, "load_teacher", lambda: (tiny_teacher, tiny_tokenizer))
    monkeypatch.setattr(scaling.torch, "set_num_threads", lambda count: None)
    found = measure_costs(600, 100)
    filed = json.loads((ROOT / "benchmarks" / "results" / "scaling.json").read_text(encoding="utf-8"))
    assert found.keys() | {"versions", "machine"} == filed.keys()
    for part in ("microseconds_a_text", "a_text"):
        assert found[part].keys() == filed[part].keys()
        assert np.all(np.array([*found[part].values(), *filed[part].values()]) > 0)
    assert found["a_text"]["text_bytes"] == filed["a_text"]["text_bytes"]
    assert found["seconds_a_shard"] > 0 and filed["machine"]["cores"]
