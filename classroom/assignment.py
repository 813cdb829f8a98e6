"""An assignment's source, its versions, and a submission put back between the instructor's own cells."""

import ast
import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

from kdlib.errors import InputError, require

ASSIGNMENTS = Path(__file__).parent.parent / "notebooks" / "assignments"
SOLUTION = re.compile(r"^\s*### (BEGIN|END) SOLUTION\n?", re.M)


def names() -> list[str]:
    """All assignments, in order."""
    return sorted(path.name for path in (ASSIGNMENTS / "source").iterdir() if path.is_dir())


def source(name: str) -> NotebookNode:
    """The instructor's notebook, with solutions and hidden tests; raises ``InputError`` for a name that is none."""
    file = ASSIGNMENTS / "source" / name / f"{name}.ipynb"
    require(file.is_file(), f"There is no assignment {name!r}: choose from {', '.join(names())}.")
    return nbformat.read(file, as_version=4)


def spec(name: str) -> dict[str, Any]:
    """What differs by student: ``choices`` and, where a faulty program is handed out, ``bugs``."""
    return yaml.safe_load((ASSIGNMENTS / "variants" / f"{name}.yml").read_text(encoding="utf-8"))


def versions(name: str) -> int:
    """How many versions an assignment has; two students share one with probability 1 / versions."""
    count = 1
    for choices in [*spec(name)["choices"].values(), *(place["wrong"] for place in spec(name).get("bugs", {}).get("places", []))]:
        count *= len(choices)
    return count


def variant(name: str, student: str, seed: int) -> tuple[dict[str, Any], list[int]]:
    """One student's version, the same whenever it is asked for: a value of each choice, and which fault stands at each place."""
    draw = random.Random(hashlib.sha256(json.dumps([name, student, seed]).encode()).digest())
    values = {key: draw.choice(choices) for key, choices in spec(name)["choices"].items()}
    return values, [draw.randrange(len(place["wrong"])) for place in spec(name).get("bugs", {}).get("places", [])]


def default_variant(name: str) -> dict[str, Any]:
    """The version in the instructor's notebook."""
    cell = next(cell for cell in source(name).cells if grade_id(cell) == "variant")
    return ast.literal_eval(cell.source.split("=", 1)[1].strip())


def grade_id(cell: Any) -> str | None:
    """nbgrader's name of a cell, or None; hostile metadata is no name."""
    metadata = cell.get("metadata", {})
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    found = marks.get("grade_id") if isinstance(marks, dict) else None
    return found if isinstance(found, str) else None


def kind(cell: NotebookNode) -> str:
    """``test``, ``answer`` (the student's), ``manual`` (the student's, marked by hand), ``locked`` or ``text``, of a cell of the source."""
    marks = cell.metadata.get("nbgrader", {})
    if marks.get("solution"):
        return "manual" if marks.get("grade") else "answer"
    if marks.get("grade"):
        return "test"
    return "locked" if cell.cell_type == "code" else "text"


def variant_source(values: dict[str, Any]) -> str:
    """The code of the cell ``variant``."""
    return f"variant = {values!r}"


def faulty(name: str, which: list[int]) -> tuple[str, str]:
    """The cell that is handed out as a faulty program: its grade_id and its source with one fault at each place."""
    bugs = spec(name)["bugs"]
    code = SOLUTION.sub("", next(cell.source for cell in source(name).cells if grade_id(cell) == bugs["cell"]))
    for place, choice in zip(bugs["places"], which, strict=True):
        require(
            code.count(place["right"]) == 1,
            f"{name}: {place['right']!r} stands {code.count(place['right'])} times in {bugs['cell']}, not once.",
        )
        code = code.replace(place["right"], place["wrong"][choice])
    return bugs["cell"], code


def defined(code: str) -> list[str]:
    """The names that a cell of the source defines at its top level: what its tests may ask the student's process for."""
    found: list[str] = []
    for node in ast.parse(code).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.With, ast.For, ast.If)):
            targets = node.targets if isinstance(node, ast.Assign) else [node]
            found += [
                part.id
                for target in targets
                for part in ast.walk(target)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            ]
    return list(dict.fromkeys(found))


def read_submission(file: Path) -> list[dict[str, Any]]:
    """The cells of what a student handed in, as far as they can be read; raises ``InputError`` where it is no notebook."""
    try:
        if file.is_symlink() or file.stat().st_size > 20 << 20:
            raise ValueError("it is a link or larger than 20 MB")
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        return [cell for cell in cells if isinstance(cell, dict)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{file.name} is not a notebook that can be read ({error}): hand it in again from JupyterLab."
        ) from error


def text(cell: dict[str, Any]) -> str:
    """A cell's source, which a file may hold as lines."""
    found = cell.get("source", "")
    return "".join(map(str, found)) if isinstance(found, list) else str(found)


def restored(name: str, submitted: list[dict[str, Any]], values: dict[str, Any]) -> NotebookNode:
    """The instructor's notebook with the student's answers in their places and the student's own cells between them.

    Whatever a student did to locked cells, tests and metadata is gone with them: only sources of answers are taken.
    """
    notebook = source(name)
    known = {grade_id(cell) for cell in notebook.cells} - {None}
    plain = {cell.source for cell in notebook.cells if grade_id(cell) is None}  # the instructor's too, and kept
    answers: dict[str | None, str] = {}
    extra: dict[str | None, list[str]] = {}
    waiting: list[str] = []
    for cell in submitted:
        mark = grade_id(cell)
        if mark in known and mark not in answers:
            answers[mark], extra[mark], waiting = text(cell), waiting, []
        elif cell.get("cell_type") == "code" and mark is None and text(cell) not in plain:
            waiting.append(text(cell))
    cells = []
    for cell in notebook.cells:
        mark = grade_id(cell)
        cells += [nbformat.v4.new_code_cell(code) for code in extra.get(mark, []) if mark]
        if mark == "variant":
            cell = nbformat.v4.new_code_cell(variant_source(values), metadata={"variant": True})
        elif kind(cell) in ("answer", "manual"):
            cell.source = answers.get(mark, "")
        cells.append(cell)
    notebook.cells = cells + [nbformat.v4.new_code_cell(code) for code in waiting]
    return notebook
