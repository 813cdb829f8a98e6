"""A made-up assignment of two questions, and submissions of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

import classroom.assignment
import classroom.course
import classroom.judge
from classroom.judge import judge, outcome

Judge = Callable[..., dict[str, str | None]]


def cell(code: str, name: str, points: int = 0, solution: bool = False, kind: str = "code") -> Any:
    """A cell of a source: a test where it has points, an answer where it is a solution."""
    marks = {"schema_version": 3, "grade_id": name, "grade": points > 0, "solution": solution, "locked": not solution, "task": False, "cell_type": kind}
    made = nbformat.v4.new_code_cell(code) if kind == "code" else nbformat.v4.new_markdown_cell(code)
    made.metadata["nbgrader"] = marks | ({"points": points} if points else {})
    return made


CELLS = [
    cell("import torch", "setup"),
    cell("variant = {'factor': 3}", "variant"),
    cell("### BEGIN SOLUTION\ndef scale(x):\n    return x * variant['factor']\n### END SOLUTION", "scale", solution=True),
    cell("assert torch.allclose(scale(torch.ones(2)), torch.tensor(3.0 * variant['factor'] / 3)), 'scale: by how much?'\n"
         "### BEGIN HIDDEN TESTS\nassert scale(7) == 7 * variant['factor'], 'scale: another number'\n### END HIDDEN TESTS", "test_scale", 2),
    cell("### BEGIN SOLUTION\nanswer = 42\n### END SOLUTION", "answer", solution=True),
    cell("assert answer == 42, 'answer: which one?'", "test_answer", 1),
    cell("Because. ### BEGIN MARK SCHEME one point ### END MARK SCHEME", "why", 2, solution=True, kind="markdown"),
]  # fmt: skip


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of assignments that holds one."""
    folder = tmp_path_factory.mktemp("assignments")
    (folder / "source" / "tiny").mkdir(parents=True)
    (folder / "variants").mkdir()
    notebook = nbformat.v4.new_notebook(cells=CELLS, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    nbformat.write(notebook, folder / "source" / "tiny" / "tiny.ipynb")
    (folder / "variants" / "tiny.yml").write_text(f"choices:\n  factor: {list(range(2, 66))}\n", encoding="utf-8")
    return folder


@pytest.fixture
def tiny(made_up: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The made-up assignment in the place of the kit's."""
    for module in (classroom.assignment, classroom.course, classroom.judge):
        monkeypatch.setattr(module, "ASSIGNMENTS", made_up)
    return made_up


@pytest.fixture
def handed_in(tmp_path: Path) -> Path:
    """An empty folder of a submission."""
    folder = tmp_path / "handed_in"
    folder.mkdir()
    return folder


@pytest.fixture
def marks(tiny: Path, handed_in: Path) -> Judge:
    """Judge the made-up assignment with other code in place of ``scale``; the other answer is right."""

    def run(code: str, seconds: float = 60, cells: list[Any] | None = None) -> dict[str, str | None]:
        answers = {"scale": code, "answer": "answer = 42"}
        cells = cells or [dict(made) | {"source": answers.get(made.metadata["nbgrader"]["grade_id"], made.source)} for made in CELLS]
        return outcome(judge("tiny", cells, {"factor": 3}, handed_in, seconds=seconds))

    return run
