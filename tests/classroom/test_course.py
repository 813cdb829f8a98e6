"""The way through a course: versions, hand-outs, grading, nbgrader's record, feedback, marks for the LMS."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import CELLS  # type: ignore[import-not-found]
from nbgrader.api import Gradebook

import classroom.course as courses
from classroom.assignment import names, variant, versions
from classroom.lms import keep_roster, read_roster, write_marks
from kdlib.errors import InputError

ROSTER = "id,name\nana,Ana A.\nbo,Bo B.\nchloé,Chloé\n"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course's folder that was just begun."""
    courses.begin(tmp_path / "course", seed=7)
    return tmp_path / "course"


def hand_in(course: Path, student: str, scale: str, answer: str = "answer = 42", why: str = "Because it is.") -> Path:
    """Answer a student's hand-out and put it among the submissions."""
    file = course / "handout" / student / "tiny" / "tiny.ipynb"
    notebook = nbformat.read(file, as_version=4)
    for made in notebook.cells:
        made.source = {"scale": scale, "answer": answer, "why": why}.get(made.metadata.get("nbgrader", {}).get("grade_id"), made.source)
    target = course / "submitted" / student / "tiny" / "tiny.ipynb"
    target.parent.mkdir(parents=True)
    nbformat.write(notebook, target)
    return target


def test_versions_are_the_same_whenever_they_are_drawn_and_rarely_shared() -> None:
    for name in names():
        assert versions(name) > 50
        students = [f"student{i}" for i in range(200)]
        drawn = [json.dumps(variant(name, student, 3), sort_keys=True) for student in students]
        assert drawn == [json.dumps(variant(name, student, 3), sort_keys=True) for student in students]
        assert drawn != [json.dumps(variant(name, student, 4), sort_keys=True) for student in students]
        pairs = sum(count * (count - 1) / 2 for count in Counter(drawn).values()) / (200 * 199 / 2)
        assert pairs < 1 / 50


def test_every_choice_is_drawn_about_as_often(tiny: Path) -> None:
    counts = Counter(variant("tiny", f"student{i}", 0)[0]["factor"] for i in range(6400))
    assert set(counts) == set(range(2, 66)) and max(counts.values()) < 2 * min(counts.values())


def test_what_is_handed_out_holds_the_version_and_no_solution(tiny: Path, course: Path) -> None:
    for folder in courses.hand_out(course, "tiny", ["ana", "bo"]):
        content = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())
        student = folder.parent.name
        assert repr(variant("tiny", student, 7)[0]) in content
        for secret in ("x * variant", "answer = 42", "another number", "HIDDEN", "SOLUTION", "MARK SCHEME", "one point", "choices"):
            assert secret not in content
        assert not (folder / ".git").exists()


def test_a_course_goes_on_with_its_own_seed_only(course: Path) -> None:
    assert courses.begin(course) == courses.begin(course, 7) == 7
    with pytest.raises(InputError, match="was begun with seed 7"):
        courses.begin(course, 8)
    with pytest.raises(InputError, match="is not empty"):
        courses.begin(course.parent)


def test_grading_from_roster_to_marks(tiny: Path, course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courses, "in_processes", lambda work, arguments, workers, what: [attempt(work, given) for given in arguments])
    roster = tmp_path / "roster.csv"
    roster.write_text("Username,First name,Last name,Email address\nana,Ana,A,a@x\nbo,Bo,B,b@x\ncy,Cy,C,c@x\ndi,Di,D,d@x\n", encoding="utf-8")
    courses.hand_out(course, "tiny", keep_roster(course, roster))
    hand_in(course, "ana", "def scale(x):\n    return variant['factor'] * x")
    hand_in(course, "bo", "def scale(x):\n    return 3 * x", answer="answer = 41")
    broken = hand_in(course, "cy", "")
    broken.write_text("{", encoding="utf-8")
    courses.grade(course, "tiny")
    (course / "gradebook.db").unlink()  # a lost one is made again from what was judged

    failed = courses.grade(course, "tiny")

    assert list(failed) == ["cy"] and "is not a notebook that can be read" in failed["cy"]
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as record:
        scores = {submission.student.id: submission.score for submission in record.find_assignment("tiny").submissions if submission.student.id != "cy"}
    assert scores == {"ana": 3.0, "bo": 0.0}
    feedback = (course / "feedback" / "bo" / "tiny" / "tiny.html").read_text(encoding="utf-8")
    assert "by how much" in feedback and "another number" not in feedback and "HIDDEN" not in feedback and "one point" not in feedback

    waiting = write_marks(course, tmp_path / "marks.csv")
    assert waiting == ["ana", "bo"]  # one question is marked by hand
    assert (tmp_path / "marks.csv").read_text(encoding="utf-8").splitlines() == [
        "First name,Last name,Username,Email address,tiny", "Ana,A,ana,a@x,3", "Bo,B,bo,b@x,0", "Cy,C,cy,c@x,", "Di,D,di,d@x,"]  # fmt: skip


def test_marks_given_by_hand_stay_and_lateness_is_taken_off(tiny: Path, course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courses, "in_processes", lambda work, arguments, workers, what: [attempt(work, given) for given in arguments])
    with (course / "nbgrader_config.py").open("a", encoding="utf-8") as config:
        config.write("\nc = get_config()\nc.AssignLatePenalties.plugin_class = 'nbgrader.plugins.LateSubmissionPlugin'\n"
                     "c.LateSubmissionPlugin.penalty_method = 'zero'\n")  # fmt: skip
    (tmp_path / "roster.csv").write_text("id\nana\n", encoding="utf-8")
    courses.hand_out(course, "tiny", keep_roster(course, tmp_path / "roster.csv"))
    file = hand_in(course, "ana", "def scale(x):\n    return variant['factor'] * x")
    courses.grade(course, "tiny")
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as record:
        grade = record.find_grade("why", "tiny", "tiny", "ana")
        grade.manual_score, grade.needs_manual_grade = 1.5, False
        record.db.commit()
    courses.grade(course, "tiny")
    assert write_marks(course, tmp_path / "marks.csv") == [] and (tmp_path / "marks.csv").read_text(encoding="utf-8").splitlines()[1] == "ana,4.5"

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as record:
        record.update_or_create_assignment("tiny", duedate="2000-01-01 00:00:00 UTC")
    (file.parent / "timestamp.txt").write_text("2001-01-01 00:00:00 UTC", encoding="utf-8")
    courses.grade(course, "tiny")
    write_marks(course, tmp_path / "marks.csv")
    assert (tmp_path / "marks.csv").read_text(encoding="utf-8").splitlines()[1] == "ana,0"


def attempt(work: Any, given: Any) -> Any:
    """What a pool of processes does with an exception."""
    try:
        return work(*given)
    except Exception as error:
        return error


def test_what_was_judged_is_not_judged_again_until_it_changes(tiny: Path, course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    courses.hand_out(course, "tiny", ["ana"])
    file = hand_in(course, "ana", "def scale(x):\n    return variant['factor'] * x")
    first = courses.judged(course, "ana", "tiny")
    before = first.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(courses, "judge", lambda *a, **k: pytest.fail("judged again"))
        assert courses.judged(course, "ana", "tiny").read_bytes() == before
    file.write_text(file.read_text(encoding="utf-8").replace("answer = 42", "answer = 43"), encoding="utf-8")
    assert courses.judged(course, "ana", "tiny").read_bytes() != before


def test_nobody_handed_in(course: Path) -> None:
    with pytest.raises(InputError, match="holds no submission of tiny"):
        courses.grade(course, "tiny")


MOODLE = "\ufeffFirst name,Last name,ID number,Email address\r\nZoë,Żak,4711,zoe@example.org\r\n"
CANVAS = 'Student,ID,SIS User ID,SIS Login ID,Section\n"Points Possible",,,,\n"Doe, Jane",12,,jdoe,A\n"Student, Test",99,,x,A\n'


@pytest.mark.parametrize(("text", "system", "students"), [(MOODLE, "moodle", ["4711"]), (CANVAS, "canvas", ["jdoe"]), ("id;name\nana;Ana\n\n", "plain", ["ana"])])
def test_rosters(tmp_path: Path, text: str, system: str, students: list[str]) -> None:
    (tmp_path / "roster.csv").write_text(text, encoding="utf-8")
    found, rows = read_roster(tmp_path / "roster.csv")
    assert (found, list(rows)) == (system, students)


@pytest.mark.parametrize(("text", "message"), [
    ("", "has the columns none"), ("name\nana\n", "has the columns name"), ("id\nana\nANA\n", "line 3: ANA is there twice"), ("id\n../bo\n", "line 2: '../bo' cannot name a folder"),
    ("id\n", "has the columns none"), (ROSTER, "line 4: 'chloé' cannot name a folder")])  # fmt: skip
def test_a_bad_roster_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "roster.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_roster(tmp_path / "roster.csv")


def test_a_missing_roster(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_roster(tmp_path / "none.csv")


def test_canvas_gets_its_line_of_possible_points(course: Path, tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "canvas.csv").write_text(CANVAS, encoding="utf-8")
    courses.hand_out(course, "tiny", keep_roster(course, tmp_path / "canvas.csv"))
    hand_in(course, "jdoe", "def scale(x):\n    return variant['factor'] * x")
    courses.done(courses.nbgrader(course).autograde("tiny", "jdoe", force=True), "grading")
    write_marks(course, tmp_path / "marks.csv")
    assert (tmp_path / "marks.csv").read_text(encoding="utf-8").splitlines() == [
        "Student,ID,SIS User ID,SIS Login ID,Section,tiny", "Points Possible,,,,,5", '"Doe, Jane",12,,jdoe,A,3']  # fmt: skip


def test_the_made_up_assignment_is_worth_what_it_says() -> None:
    assert sum(made.metadata["nbgrader"].get("points", 0) for made in CELLS) == 5
