"""Judging one submission: the student's cells run in the sandbox, the tests here, in a process that no student's code enters.

A test calls the student's functions through `Proxy`: arguments go into the sandbox as values, and what comes back is a value. So nothing
that runs there can change a test, read a hidden one, or say that it passed. The result is a notebook with outputs, which nbgrader records.
"""

import builtins
import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from classroom.assignment import ASSIGNMENTS, defined, grade_id, kind, restored, source
from classroom.sandbox import Ended, Student
from classroom.wire import decode, encode


class Proxy:
    """A student's function, called in the sandbox; an exception of the student's is raised here with its type, if Python has it, and its message."""

    def __init__(self, student: Student, name: str) -> None:
        self.student, self.__name__ = student, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = self.student.ask({"call": self.__name__, "args": encode(args), "kwargs": encode(kwargs)})
        except Ended as error:
            raise AssertionError(f"{self.__name__}: {error}") from None
        if "value" in answer:
            try:
                return decode(answer["value"])
            except Exception:
                raise AssertionError(f"{self.__name__} returned nothing that can be read") from None
        raise raised(answer.get("error"), f"{self.__name__}: ")


def raised(error: Any, where: str = "") -> Exception:
    """The exception that the student's process told of, with the function's name in front of its message."""
    name, message = map(str, error) if isinstance(error, list) and len(error) == 2 else ("RuntimeError", "unreadable answer")
    message = message or name  # raise NotImplementedError says nothing more
    known = getattr(builtins, name, None)
    fits = isinstance(known, type) and issubclass(known, Exception) and not issubclass(known, UnicodeError)
    return known(where + message[:500]) if fits else RuntimeError(f"{where}{name}: {message[:500]}")  # type: ignore[misc]


def judge(
    name: str,
    submitted: list[dict[str, Any]],
    values: dict[str, Any],
    handed_in: Path,
    unsafe: bool = False,
    seconds: float = 300,
) -> NotebookNode:
    """The restored notebook with the outputs of all its cells: an error output at each test that failed, none where it passed."""
    notebook = restored(name, submitted, values)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    wanted: list[str] = []
    reference = {grade_id(cell): cell.source for cell in source(name).cells}
    with folder_of(name), Student(handed_in, seconds, unsafe) as student:
        over: str | None = None
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            cell.outputs, cell.execution_count = [], None
            if kind(cell) == "test":
                unreadable = take_names(student, wanted, namespace)
                cell.outputs = (
                    [] if (failure := passed(cell.source, namespace, grade_id(cell) or "", unreadable)) is None else [failure]
                )
                continue
            if kind(cell) == "locked" and (grade_id(cell) or cell.metadata.get("variant")):
                exec(compile(cell.source, "<setup>", "exec"), namespace)
            if kind(cell) == "answer":
                wanted += [new for new in defined(reference[grade_id(cell)]) if new not in wanted]
            if over is None:
                try:
                    answer = student.ask({"cell": cell.source}, seconds)
                    if "error" in answer and not student.printed:
                        student.printed = str(raised(answer["error"]))
                except Ended as error:
                    over = str(error)
            if student.printed or over:
                shown = student.printed + (f"\n[{over}]" if over else "")
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=shown)]
                student.printed = ""
    return notebook


def take_names(student: Student, wanted: list[str], namespace: dict[str, Any]) -> dict[str, str]:
    """Put what the student's process has under the names that answers define where the tests find it: proxies for functions, copies of values.

    Returns what could not be taken, with the reason.
    """
    unreadable: dict[str, str] = {}
    try:
        answer = student.ask({"names": wanted}).get("names")
    except Ended as error:
        answer, unreadable = {}, dict.fromkeys(wanted, str(error))
    for name in wanted:
        namespace.pop(name, None)
        value = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(value, dict):
            continue
        try:
            namespace[name] = Proxy(student, name) if "function" in value else decode(value["value"])
        except Exception:  # whatever a hostile answer makes go wrong
            unreadable[name] = str(value.get("error", "it cannot be read"))[:500]
    return unreadable


def passed(code: str, namespace: dict[str, Any], where: str, unreadable: dict[str, str]) -> NotebookNode | None:
    """Run a test: None where it passes, else nbgrader's error output with what was raised."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(code, f"<{where}>", "exec"), namespace)
    except BaseException as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        said = str(error).strip() or type(error).__name__
        if isinstance(error, NameError) and error.name in unreadable:
            said = f"{error.name}: {unreadable[error.name]}"
        return nbformat.v4.new_output(
            "error", ename=type(error).__name__, evalue=said, traceback=[f"{type(error).__name__}: {said}"]
        )
    return None


@contextlib.contextmanager
def folder_of(name: str) -> Iterator[None]:
    """Work in a copy of the assignment's folder, where the instructor's cells find its data."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="judge") as folder:
        shutil.copytree(ASSIGNMENTS / "source" / name, folder, dirs_exist_ok=True)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def outcome(notebook: NotebookNode) -> dict[str, str | None]:
    """Each test with None where it passed, else its message."""
    tests = [cell for cell in notebook.cells if cell.cell_type == "code" and kind(cell) == "test"]
    return {
        grade_id(cell) or "": next((output.evalue for output in cell.outputs if output.output_type == "error"), None)
        for cell in tests
    }
