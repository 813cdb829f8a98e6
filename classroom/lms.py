"""Rosters from Moodle and Canvas, and marks back to them, as the CSV files that both read and write."""

import csv
import re
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes
from nbgrader.api import Gradebook

from kdlib.errors import explained, require
from kdlib.files import read_json, write_json, written_aside

# The columns by which each system knows a student; the first that is there and filled in names the student's folder.
COLUMNS = {"moodle": ["Username", "ID number", "Email address"], "canvas": ["SIS Login ID", "SIS User ID", "ID"], "plain": ["id"]}
IDENTITY = {
    "moodle": ["First name", "Last name", "Surname", "ID number", "Username", "Email address"],
    "canvas": ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"],
    "plain": ["id", "name", "email"],
}
ALLOWED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*")  # what nbgrader and every file system take as a folder


def read_roster(file: Path) -> tuple[str, dict[str, dict[str, str]]]:
    """The system that a roster comes from, and its rows by student.

    Moodle: the participants, or grades, downloaded as CSV. Canvas: the gradebook exported, with or without its line "Points Possible". Else a
    CSV with a column ``id``. Raises ``InputError`` for another file, an id that is missing, double or no name for a folder.
    """
    with explained(f"{file} cannot be read", "give a roster as CSV", OSError):
        raw = file.read_bytes()
    text = str(from_bytes(raw).best() or raw.decode("utf-8", "replace")).lstrip("\ufeff")
    first = text.partition("\n")[0]
    rows = list(csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=first.count), restkey="rest", restval=""))
    columns = [column.strip() for column in rows[0]] if rows else []
    system = next(
        (
            name
            for name in ("canvas", "moodle", "plain")
            if set(COLUMNS[name]) & set(columns) and (name != "canvas" or "Student" in columns)
        ),
        None,
    )
    wanted = " or ".join(f"{name}: {', '.join(known)}" for name, known in COLUMNS.items())
    require(
        system is not None, f"{file} has the columns {', '.join(columns) or 'none'}: give one that names the students ({wanted})."
    )
    students: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        values = {str(key).strip(): value.strip() for key, value in row.items() if isinstance(value, str)}
        if system == "canvas" and values.get("Student", "").casefold() in ("points possible", "student, test", ""):
            continue
        if not any(values.values()):
            continue
        name = next((values[column] for column in COLUMNS[str(system)] if values.get(column)), "")
        require(
            bool(ALLOWED.fullmatch(name)),
            f"{file}, line {number}: {name!r} cannot name a folder; give letters, digits, _ . @ or -, without spaces.",
        )
        require(name.casefold() not in {known.casefold() for known in students}, f"{file}, line {number}: {name} is there twice.")
        students[name] = {column: values[column] for column in IDENTITY[str(system)] if column in values}
    require(bool(students), f"{file} names no student.")
    return str(system), students


def keep_roster(course: Path, file: Path) -> list[str]:
    """Note a roster in the course's folder, for the marks to go back to the same system; returns the students."""
    system, students = read_roster(file)
    write_json(course / "roster.json", {"system": system, "students": students})
    return list(students)


def marks(course: Path) -> dict[str, dict[str, Any]]:
    """Every student's marks from nbgrader's record, by assignment: ``score`` less what nbgrader takes off for lateness, ``of``, and ``to_mark``: by hand."""
    found: dict[str, dict[str, Any]] = {}
    with Gradebook(f"sqlite:///{(course / 'gradebook.db').resolve()}") as record:
        for assignment in record.assignments:
            for submission in assignment.submissions:
                entry = {
                    "score": max(0, submission.score - submission.late_submission_penalty),
                    "of": assignment.max_score,
                    "to_mark": submission.needs_manual_grade,
                }
                found.setdefault(submission.student.id, {})[assignment.name] = entry
    return found


def write_marks(course: Path, file: Path) -> list[str]:
    """The marks as CSV for the system that the roster came from; a student without a submission has an empty field.

    Returns the students with answers that nobody has marked by hand yet: their marks are what the tests gave so far.
    """
    require((course / "roster.json").exists(), f"{course} has no roster: make assign ROSTER=… notes it.")
    roster, record = read_json(course / "roster.json"), marks(course)
    assignments = sorted({name for entries in record.values() for name in entries})
    possible = {name: next(entries[name]["of"] for entries in record.values() if name in entries) for name in assignments}
    identity = list(dict.fromkeys(column for row in roster["students"].values() for column in row))
    with written_aside(file) as aside, aside.open("w", encoding="utf-8", newline="") as out:
        table = csv.DictWriter(out, [*identity, *assignments], lineterminator="\n")
        table.writeheader()
        if roster["system"] == "canvas":
            table.writerow({identity[0]: "Points Possible", **{name: f"{value:g}" for name, value in possible.items()}})
        for student, row in roster["students"].items():
            table.writerow(row | {name: f"{entry['score']:g}" for name, entry in record.get(student, {}).items()})
    return sorted(student for student, entries in record.items() if any(entry["to_mark"] for entry in entries.values()))
