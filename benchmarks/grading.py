"""How long does it take to grade a class, and does a second call go on from where the first stopped?

Every student of a made-up roster hands in the own version of one assignment: in turn the reference, each of the wrong and right answers that
the kit has, and the blank hand-out. Grading is `make grade`: the sandbox, two at a time, nbgrader's record and the feedback.

Run: PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/grading.py [students] [assignment]   (300 1_softmax unless given; ten minutes on two cores)
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat

from classroom.assignment import ASSIGNMENTS, grade_id
from classroom.course import begin, grade, hand_out, in_processes, judged, submitted
from classroom.lms import marks
from classroom.trial import cells_of, read
from kdlib.files import write_json
from kdlib.measure import environment


def hand_in(course: Path, name: str, student: str, answers: dict[str, str] | None) -> None:
    """A student's hand-out with these answers (None: as it was handed out) among the submissions."""
    notebook: Any = nbformat.read(course / "handout" / student / name / f"{name}.ipynb", as_version=4)
    given = {grade_id(cell): cell["source"] for cell in cells_of(name, answers)} if answers is not None else {}
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = given.get(grade_id(cell), cell.source)
    file = course / "submitted" / student / name / f"{name}.ipynb"
    file.parent.mkdir(parents=True)
    nbformat.write(notebook, file)


def main() -> None:
    """Measure and write ``results/grading.json``."""
    students, name = int(sys.argv[1]) if len(sys.argv) > 1 else 300, sys.argv[2] if len(sys.argv) > 2 else "1_softmax"
    kinds: list[dict[str, str] | None] = [{}, None]
    kinds += [read(name, file)[1] for file in sorted((ASSIGNMENTS / "submissions" / name).glob("*/*.py"))]
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder, "course")
        begin(course, 1)
        roster = [f"student{i:03d}" for i in range(students)]
        start = time.monotonic()
        hand_out(course, name, roster)
        handed_out = time.monotonic() - start
        for i, student in enumerate(roster):
            hand_in(course, name, student, kinds[i % len(kinds)])
        start = time.monotonic()
        failed = grade(course, name)
        whole = time.monotonic() - start
        start = time.monotonic()
        in_processes(judged, [(course, student, name, False) for student in submitted(course, name)], 2, "again")
        again = time.monotonic() - start
        scores = [entry[name]["score"] for entry in marks(course).values()]
    result = {"students": students, "assignment": name, "hand_out_seconds": handed_out, "grade_minutes": whole / 60, "judged_again_seconds": again,
              "not_judged": len(failed), "scores": {f"{score:g}": scores.count(score) for score in sorted(set(scores))}}  # fmt: skip
    print(result)
    write_json(Path(__file__).parent / "results" / "grading.json", {**result, **environment()})


if __name__ == "__main__":
    main()
