"""The class report's figures against independent computations, on submissions of the made-up assignment."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import CELLS  # type: ignore[import-not-found]

import classroom.course as courses
import classroom.statistics as statistics
from kdlib.errors import InputError


def graded(course: Path, answers: dict[str, tuple[str, str]]) -> None:
    """Submissions judged as stated, without running them: a message where a test failed."""
    courses.begin(course, 1)
    courses.generate(course, "tiny")
    for student, (scale, failed) in answers.items():
        cells = [made.copy() for made in CELLS]
        notebook = nbformat.v4.new_notebook(cells=cells)
        for made in notebook.cells:
            name = made.metadata["nbgrader"]["grade_id"]
            made.source = {"scale": scale, "why": "because"}.get(name, made.source)
            if name == "test_scale" and failed:
                made.outputs = [nbformat.v4.new_output("error", ename="AssertionError", evalue=failed, traceback=[failed])]
        for folder in ("submitted", "judged"):
            file = course / folder / student / ("tiny/tiny.ipynb" if folder == "submitted" else "tiny.ipynb")
            file.parent.mkdir(parents=True)
            nbformat.write(notebook, file)
    courses.judged, kept = (lambda course, student, name, unsafe=False: course / "judged" / student / f"{name}.ipynb"), courses.judged
    try:
        for student in answers:
            courses.done(courses.nbgrader(course).autograde("tiny", student, force=True), "grading")
    finally:
        courses.judged = kept


ODD = "def scale(x):\n    total = 0\n    for step in range(variant['factor']):\n        total = total + x\n    return total\n"
CLASS = {"ana": (ODD, ""), "bo": (ODD.replace("total", "sum_").replace("step", "i"), "off by 3"), "cy": ("def scale(x):\n    return x", "off by 17"),
         "di": ("def scale(x):\n    return x + 0", "by how much?"), "ed": ("import math\ndef scale(x):\n    return math.prod([x, variant['factor']])", "")}  # fmt: skip


@pytest.fixture
def course(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of five whose submissions are graded."""
    graded(tmp_path / "course", CLASS)
    return tmp_path / "course"


def test_points_totals_and_questions(course: Path) -> None:
    table = statistics.points(course, names=True)
    assert table.groupby("student")["score"].sum().to_dict() == {"ana": 3, "bo": 1, "cy": 1, "di": 1, "ed": 3}
    totals = statistics.totals(table)  # "why" waits for a hand, so 3 points in all
    assert totals["tiny"].to_dict() == pytest.approx({"ana": 1, "bo": 1 / 3, "cy": 1 / 3, "di": 1 / 3, "ed": 1})
    figures = statistics.questions(table).loc["tiny"]
    assert figures.loc["test_scale", "difficulty"] == pytest.approx(2 / 5) and figures.loc["test_scale", "answers"] == 5
    assert np.isnan(figures.loc["test_scale", "discrimination"])  # the rest is the same for all


def test_discrimination_is_the_correlation_with_the_rest() -> None:
    scores = {"q1": [1, 1, 0, 0, 1], "q2": [2, 1, 0, 1, 2], "q3": [0, 1, 0, 0, 1]}
    rows = [("a", question, float(score), 2.0, False, f"s{i}") for question, all_ in scores.items() for i, score in enumerate(all_)]
    found = statistics.questions(pd.DataFrame(rows, columns=["assignment", "question", "score", "of", "by_hand", "student"]))
    for question, own in scores.items():
        rest = np.sum([other for name, other in scores.items() if name != question], axis=0)
        assert found.loc[("a", question), "discrimination"] == pytest.approx(pd.Series(own).corr(pd.Series(rest)))


def test_common_mistakes_put_numbers_together(course: Path) -> None:
    found = statistics.mistakes(course)
    assert found.iloc[0].tolist() == ["tiny", "test_scale", "off by …", 2] and len(found) == 2


def test_similarity_sees_through_other_names_and_passes_over_what_all_share(course: Path) -> None:
    pairs = statistics.similar(course, "tiny", names=True)
    assert {pairs.iloc[0]["one"], pairs.iloc[0]["other"]} == {"ana", "bo"} and pairs.iloc[0]["in common"] > 0.9
    assert len(pairs) == 1 or pairs.iloc[1]["in common"] < 0.3
    assert statistics.shingles("x = 1  # a\ny = 2") == statistics.shingles("z   =  7\nw=8 # b") or len(statistics.shingles("x = 1")) == 0


def test_names_are_replaced_unless_asked_for(course: Path) -> None:
    hidden = statistics.pseudonyms(course)
    assert set(hidden) == set(CLASS) and sorted(hidden.values()) == ["s1", "s2", "s3", "s4", "s5"] and not set(hidden.values()) & set(CLASS)
    assert statistics.pseudonyms(course, names=True) == {name: name for name in sorted(CLASS)}


def test_the_report_is_one_page_that_names_nobody(course: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classroom.report import write_report

    (course.parent / "sitecustomize.py").write_text(
        f"import pathlib, classroom.assignment as a\na.ASSIGNMENTS = pathlib.Path({str(tiny)!r})\n", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", f"{course.parent}:{Path(courses.__file__).parent.parent}")
    page = write_report(course)
    text = page.read_text(encoding="utf-8")
    for word in ("Common mistakes", "off by …", "discrimination", "no proof of anything", "s1"):
        assert word in text
    assert not [name for name in CLASS if f">{name}<" in text]
    assert "https://" not in text.replace("https://jupyter.org", "") or 'src="https://' not in text


def test_nothing_graded_yet(tmp_path: Path) -> None:
    from classroom.report import write_report

    with pytest.raises(InputError, match="has no gradebook"):
        write_report(tmp_path)
