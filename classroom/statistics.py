"""How a class did: points by question, difficulty and discrimination, common mistakes, similar answers."""

import hashlib
import io
import keyword
import re
import tokenize
from collections import Counter
from itertools import combinations
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from nbgrader.api import Gradebook

from classroom.assignment import grade_id, kind, read_submission, source, text
from classroom.course import submitted
from classroom.judge import outcome
from kdlib.errors import InputError, require

SHINGLE = 10  # tokens in a row that have to be the same
COMMON = 0.2  # what stands in more than this share of all answers is the task's, not anyone's


def pseudonyms(course: Path, names: bool = False) -> dict[str, str]:
    """Each student's name in a report: an id that says nothing, the same in every report of the course, or with ``names`` the name of the folder."""
    students = sorted({path.name for path in (course / "submitted").iterdir() if path.is_dir()})
    drawn = sorted(students, key=lambda student: hashlib.sha256(f"{course.resolve()} {student}".encode()).digest())
    return {student: student if names else f"s{number:0{len(str(len(drawn)))}d}" for number, student in enumerate(drawn, start=1)}


def points(course: Path, names: bool = False) -> pd.DataFrame:
    """A row for each student and question, from nbgrader's record: assignment, question, score, of, by_hand (still to be marked), student.

    Raises ``InputError`` where nothing has been graded.
    """
    shown, rows = pseudonyms(course, names), []
    with Gradebook(f"sqlite:///{(course / 'gradebook.db').resolve()}") as record:
        for assignment in record.assignments:
            order = [grade_id(cell) for cell in source(assignment.name).cells]
            for submission in (one for one in assignment.submissions if one.student.id in shown):
                for grade in (grade for notebook in submission.notebooks for grade in notebook.grades):
                    rows.append(
                        (
                            assignment.name,
                            order.index(grade.name),
                            grade.name,
                            grade.score,
                            grade.max_score,
                            grade.needs_manual_grade,
                            shown[submission.student.id],
                        )
                    )
    require(bool(rows), f"{course} has no marks: make grade first.")
    table = pd.DataFrame(rows, columns=["assignment", "position", "question", "score", "of", "by_hand", "student"])
    return table.sort_values(["assignment", "position", "student"], ignore_index=True).drop(columns="position")


def totals(table: pd.DataFrame) -> pd.DataFrame:
    """Share of the points that each student earned in each assignment, of the questions that are marked."""
    marked = table[~table["by_hand"]].groupby(["student", "assignment"])[["score", "of"]].sum()
    return (marked["score"] / marked["of"]).unstack("assignment")


def questions(table: pd.DataFrame) -> pd.DataFrame:
    r"""Each question's difficulty (the mean share of its points) and discrimination, with the number of answers.

    Discrimination is the correlation of the question's points with those of the rest of its assignment,

    .. math:: r = \operatorname{corr}(x_q, \; t - x_q)

    over students; near 0 the question does not tell who knows the rest, below 0 look at the question. Empty where all have the same.
    Source: Crocker and Algina (1986), "Introduction to Classical and Modern Test Theory", chapter 14.
    """
    rows = {}
    for (assignment, question), part in table[~table["by_hand"]].groupby(["assignment", "question"], sort=False):
        scores = part.set_index("student")["score"]
        whole = table[~table["by_hand"] & (table["assignment"] == assignment)].groupby("student")["score"].sum()
        rest = whole.reindex(scores.index) - scores
        varies = len(scores) > 2 and scores.std() > 0 and rest.std() > 0
        discrimination = np.corrcoef(scores, rest)[0, 1] if varies else np.nan
        rows[assignment, question] = {
            "answers": len(scores),
            "difficulty": (scores / part["of"].to_numpy()).mean(),
            "discrimination": discrimination,
        }
    return pd.DataFrame(rows).T.astype({"answers": int})


def mistakes(course: Path) -> pd.DataFrame:
    """How many students each test told what: assignment, test, message (numbers as …), students; the commonest first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for file in sorted((course / "judged").glob("*/*.ipynb")):
        for test, message in outcome(nbformat.read(file, as_version=4)).items():
            if message is not None:
                counts[file.stem, test, re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "…", message)[:300]] += 1
    return pd.DataFrame(
        [(*key, count) for key, count in counts.most_common()], columns=["assignment", "test", "message", "students"]
    )


def shingles(code: str) -> set[str]:
    """Every run of `SHINGLE` tokens of a program, names and values made the same, comments and layout left out."""
    tokens = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == tokenize.NAME:
                tokens.append(token.string if keyword.iskeyword(token.string) else "name")
            elif token.type in (tokenize.NUMBER, tokenize.STRING):
                tokens.append("value")
            elif token.type == tokenize.OP:
                tokens.append(token.string)
    except (tokenize.TokenError, IndentationError):
        pass  # what comes before the mistake counts
    return {" ".join(tokens[i : i + SHINGLE]) for i in range(len(tokens) - SHINGLE + 1)}


def similar(course: Path, name: str, names: bool = False, most: int = 10) -> pd.DataFrame:
    """The pairs of students whose answers to an assignment have most in common that others do not: Jaccard index of their `shingles`.

    Runs that stand in the reference or in more than a share `COMMON` of all answers are left out first. Short answers have few other
    ways to be written: the number of shared runs stands beside the index. It is a reason to read two answers side by side, and no proof.
    """
    answers = {grade_id(cell) for cell in source(name).cells if kind(cell) == "answer"}
    given: dict[str, set[str]] = {}
    for student in submitted(course, name):
        try:
            cells = read_submission(course / "submitted" / student / name / f"{name}.ipynb")
        except InputError:
            continue  # it has no answers to compare; grading names it
        given[student] = set().union(*(shingles(text(cell)) for cell in cells if grade_id(cell) in answers))
    counts = Counter(run for runs in given.values() for run in runs)
    reference = set().union(*(shingles(cell.source) for cell in source(name).cells if kind(cell) == "answer"))
    everyones = reference | {run for run, count in counts.items() if count > max(2, COMMON * len(given))}
    own = {student: runs - everyones for student, runs in given.items()}
    shown = pseudonyms(course, names)
    rows = [
        (shown[a], shown[b], len(own[a] & own[b]) / len(own[a] | own[b]), len(own[a] & own[b]))
        for a, b in combinations(own, 2)
        if own[a] & own[b]
    ]
    return pd.DataFrame(sorted(rows, key=lambda row: -row[2])[:most], columns=["one", "other", "in common", "runs"])
