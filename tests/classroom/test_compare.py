"""Two reports compared: paired where the test set is the same, refused with a reason where not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classroom.compare import changed_settings, compare, describe
from kdlib.errors import InputError
from kdlib.evaluate import paired_bootstrap


def report(folder: Path, right: dict[str, list[str]], test_set: str = "same", **settings: Any) -> Path:
    """A report's folder with what is compared of it."""
    folder.mkdir()
    languages = {"en": {"test_set": test_set, "right": right, "data": {"test": len(next(iter(right.values()))[0])}}}
    (folder / "metrics.json").write_text(json.dumps({"settings": settings, "languages": languages}), encoding="utf-8")
    return folder


def test_differences_are_those_of_the_paired_bootstrap(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    a, b = (draw.random(300) < share for share in (0.7, 0.8))
    marks = ["".join(str(int(mark)) for mark in right) for right in (a, b)]
    first, second = report(tmp_path / "a", {"teacher": [marks[0]]}, T=1), report(tmp_path / "b", {"teacher": [marks[1]]}, T=2)
    table, refused = compare(first, second)
    expected = paired_bootstrap(b, a)
    assert refused == [] and table.loc[("en", "teacher"), ["difference", "low", "high"]].tolist() == pytest.approx([100 * value for value in expected])
    assert "b is" in describe(table)[0] and changed_settings(first, second).loc["T"].tolist() == ["1", "2"]


def test_a_report_equals_itself(tmp_path: Path) -> None:
    folder = report(tmp_path / "a", {"teacher": ["0110", "1111"]})
    table, _ = compare(folder, folder / "metrics.json")
    assert table["difference"].tolist() == [0.0] and "inside the noise" in describe(table)[0]


def test_another_test_set_is_refused(tmp_path: Path) -> None:
    folders = [report(tmp_path / name, {"teacher": ["0110"]}, test_set=name) for name in "ab"]
    with pytest.raises(InputError, match="the test sets differ"):
        compare(*folders)


def test_an_older_report_and_other_seeds_are_refused_and_the_rest_compared(tmp_path: Path) -> None:
    first = report(tmp_path / "a", {"teacher": ["0110"], "student": ["0110", "0111"]})
    second = report(tmp_path / "b", {"teacher": ["0111"], "student": ["0110", "0111", "0000"]})
    table, refused = compare(first, second)
    assert list(table.index) == [("en", "teacher")] and "2 seeds in one report, 3 in the other" in refused[0]
    older = json.loads((second / "metrics.json").read_text(encoding="utf-8"))
    del older["languages"]["en"]["test_set"]
    (second / "metrics.json").write_text(json.dumps(older), encoding="utf-8")
    with pytest.raises(InputError, match="write it anew"):
        compare(first, second)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_what_is_no_report(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError):
        compare(tmp_path, tmp_path)
