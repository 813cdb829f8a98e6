"""Try the assignments as a lecturer would: hand out, let reference, blank, wrong and right answers be graded, look for leaks. `make assignments`.

Wrong answers lie in ``notebooks/assignments/submissions/NAME/wrong``, each with the tests that it fails and what the first of them says; right but
different ones in ``right``. Ends with 1 where something is not as stated.
"""

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

from classroom.assignment import (
    ASSIGNMENTS,
    SOLUTION,
    default_variant,
    faulty,
    grade_id,
    kind,
    names,
    source,
    spec,
    variant,
    versions,
)
from classroom.course import begin, generate, in_processes, version
from classroom.judge import judge, outcome
from kdlib.errors import require

CELL = re.compile(r"^# %% *(\[markdown\] *|in +)?(\w+) *$", re.M)


class Case(NamedTuple):
    """One submission: its cells, the version it answers, the tests that it is to fail (None: all) and what the first of them says."""

    assignment: str
    title: str
    cells: list[dict[str, Any]]
    values: dict[str, Any]
    caught: list[str] | None
    says: str = ""


def cells_of(name: str, answers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The reference as a submission, with some answers replaced; a cell of the student's own stands after the answer before it."""
    own, before = {grade_id(cell) for cell in source(name).cells}, None
    extra: dict[str | None, list[dict[str, Any]]] = {}
    for mark, code in (answers or {}).items():
        if mark in own:
            before = mark
        else:
            extra.setdefault(before, []).append({"cell_type": "code", "metadata": {}, "source": code})
    cells = extra.get(None, [])
    for cell in source(name).cells:
        new = (answers or {}).get(grade_id(cell) or "", SOLUTION.sub("", cell.source))
        cells.append({"cell_type": cell.cell_type, "metadata": dict(cell.metadata), "source": new})
        cells += extra.get(grade_id(cell), []) if grade_id(cell) else []
    return cells


def read(name: str, file: Path) -> tuple[str, dict[str, str], list[str], str]:
    """A submission: what the student did, the answers, the tests that fail, what the first says.

    ``# %% cell`` begins an answer, ``# %% [markdown] cell`` one in words, each line a comment; below ``# %% in cell`` stand hunks of
    a diff against the reference, each line a comment too: a space, - or + and the line.
    """
    head, *parts = CELL.split(file.read_text(encoding="utf-8"))
    head = head.strip().strip('"').strip()
    reference = {grade_id(cell): SOLUTION.sub("", cell.source).strip("\n") for cell in source(name).cells}
    answers: dict[str, str] = {}
    for form, mark, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        body = body.strip("\n") if not form else re.sub(r"^# ?", "", body.strip("\n"), flags=re.M)
        within = (form or "").startswith("in")
        answers[mark] = patched(answers.get(mark, reference.get(mark, "")), body, f"{file.name}, {mark}") if within else body
    caught = re.search(r"^caught: *(.+)$", head, re.M)
    says = re.search(r"^says: *(.+)$", head, re.M)
    return (
        head.splitlines()[0],
        answers,
        [name.strip() for name in caught[1].split(",")] if caught else [],
        says[1].strip() if says else "",
    )


def patched(code: str, hunks: str, where: str) -> str:
    """The code with hunks of a diff applied, which an empty line parts; raises ``InputError`` where what one replaces does not stand there once."""
    for hunk in re.split(r"\n\n+", hunks):
        lines = hunk.splitlines()
        old, new = ("\n".join(line[1:] for line in lines if line[:1] in (" ", sign)) for sign in "-+")
        require(f"\n{code}\n".count(f"\n{old}\n") == 1, f"{where}: {old!r} does not stand in the reference once.")
        code = f"\n{code}\n".replace(f"\n{old}\n", f"\n{new}\n" if new else "\n")[1:-1]
    return code


def cases(name: str, course: Path) -> list[Case]:
    """Everything that is tried of an assignment: reference and blank in three versions, wrong and right ones in the default."""
    found = []
    release = generate(course, name)
    for student in ("", "ana", "bo"):
        values, which = variant(name, student, 1)
        values = values if student else default_variant(name)
        handed_out = version(nbformat.read(release / f"{name}.ipynb", as_version=4), name, values, which)
        title = f"version of {student}" if student else "default version"
        found += [
            Case(name, f"reference, {title}", cells_of(name), values, []),
            Case(name, f"blank, {title}", handed_out.cells, values, None),
        ]
    for group in ("wrong", "right"):
        for file in sorted((ASSIGNMENTS / "submissions" / name / group).glob("*.py")):
            title, answers, caught, says = read(name, file)
            found.append(
                Case(name, f"{group}/{file.stem}: {title}", cells_of(name, answers), default_variant(name), caught, says)
            )
    return found


def run(case: Case) -> tuple[dict[str, str | None], float]:
    """Judge one case."""
    start = time.monotonic()
    folder = ASSIGNMENTS / "source" / case.assignment
    notebook = judge(case.assignment, case.cells, case.values, folder, seconds=spec(case.assignment).get("seconds", 300))
    return outcome(notebook), time.monotonic() - start


def complaints(case: Case, result: dict[str, str | None]) -> str:
    """What is not as stated, or nothing."""
    failed = [test for test, message in result.items() if message is not None]
    wanted = list(result) if case.caught is None else case.caught
    if set(failed) != set(wanted):
        return f"fails {failed} and not {wanted}: " + "; ".join(
            f"{test}: {result[test]}" for test in failed if test not in wanted
        )
    if case.title.startswith("wrong") and not case.caught:
        return "a wrong submission that names no test"
    if case.says and case.says not in (result[wanted[0]] or ""):
        return f"{wanted[0]} says {result[wanted[0]]!r}, not {case.says!r}"
    return ""


def leaks(name: str, course: Path) -> list[str]:
    """What the handed-out folder tells that it should not: lines of solutions, hidden tests or marking schemes, anywhere in its files."""
    handed_out = {
        path.name: path.read_text(encoding="utf-8", errors="replace")
        for path in (course / "release" / name).rglob("*")
        if path.is_file()
    }
    notebook = nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)
    shown = "\n".join(cell.source for cell in notebook.cells)
    found = [
        f"{file} holds {word!r}"
        for file, content in handed_out.items()
        for word in ("BEGIN SOLUTION", "HIDDEN TESTS", "MARK SCHEME")
        if word in content
    ]
    hidden = re.compile(r"### BEGIN (?:HIDDEN TESTS|SOLUTION|MARK SCHEME)(.*?)### END", re.S)
    meant = "\n".join(hidden.sub("", cell.source) for cell in source(name).cells)
    for cell in source(name).cells:
        for line in "\n".join(hidden.findall(cell.source)).splitlines():
            if len(line.strip()) > 30 and line.strip() in shown and line.strip() not in meant:
                found.append(f"{grade_id(cell)}: {line.strip()!r} is handed out")
    found += [f"{grade_id(cell)} is handed out with outputs" for cell in notebook.cells if cell.get("outputs")]
    return found


def main() -> int:
    """Try the assignments that are named, or all; print a table."""
    chosen = sys.argv[1:] or names()
    wrong_ones = 0
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder, "course")
        begin(course)
        everything = [case for name in chosen for case in cases(name, course)]
        results = in_processes(run, [(case,) for case in everything], 2, "grading")
        for name in chosen:
            points = sum(cell.metadata.nbgrader.points for cell in source(name).cells if kind(cell) in ("test", "manual"))
            manual = sum(cell.metadata.nbgrader.points for cell in source(name).cells if kind(cell) == "manual")
            bugs = f", bugs in {faulty(name, variant(name, '', 1)[1])[0]}" if "bugs" in spec(name) else ""
            print(f"\n{name}: {points:g} points, {manual:g} of them by hand; {versions(name)} versions{bugs}")
            for message in leaks(name, course) + ([] if versions(name) > 50 else ["fewer than 51 versions"]):
                wrong_ones += 1
                print(f"  NOT AS STATED  {message}")
            for case, result in (
                (case, result) for case, result in zip(everything, results, strict=True) if case.assignment == name
            ):
                if isinstance(result, BaseException):
                    raise result
                complaint = complaints(case, result[0])
                wrong_ones += bool(complaint)
                worth = {grade_id(cell): cell.metadata.nbgrader.points for cell in source(name).cells if kind(cell) == "test"}
                earned = sum(worth[test] for test, message in result[0].items() if message is None)
                print(f"  {earned:4g} / {points - manual:g}  {result[1]:5.1f} s  {case.title}")
                for test, message in result[0].items():
                    if message is not None and case.title.startswith("wrong"):
                        print(f"                      {test}: {message}")
                if complaint:
                    print(f"        NOT AS STATED  {complaint}")
    print(f"\n{len(everything)} submissions, {wrong_ones} not as stated")
    return int(wrong_ones > 0)


if __name__ == "__main__":
    sys.exit(main())
