"""`python -m classroom`: what `make assign`, `make grade`, `make marks`, `make class-report` and `make compare` call."""

from pathlib import Path

import click

from classroom import compare as comparison
from classroom import course as courses
from classroom import lms
from classroom.assignment import names
from kdlib.cli import OneSentence

FOLDER = click.argument("course", type=click.Path(path_type=Path))


@click.group(cls=OneSentence)
def main() -> None:
    """The classroom: hand out, grade, report, with nbgrader's gradebook as the record."""


@main.command()
@FOLDER
@click.option(
    "--roster",
    type=click.Path(path_type=Path),
    required=True,
    help="Students as CSV: Moodle's, Canvas's, or one with a column id.",
)
@click.option("--seed", type=int, help="What the versions are drawn from; noted at the first call. 0 where left out.")
@click.option("--assignment", "chosen", multiple=True, help="Which; all where left out.")
def assign(course: Path, roster: Path, seed: int | None, chosen: tuple[str, ...]) -> None:
    """Make each student's own version of the assignments, in COURSE/handout/STUDENT."""
    lms.read_roster(roster)  # before a folder is made
    courses.begin(course, seed)
    students = lms.keep_roster(course, roster)
    for name in chosen or names():
        courses.hand_out(course, name, students)
        click.echo(f"{name}: {len(students)} versions in {course / 'handout'}")


@main.command()
@FOLDER
@click.argument("assignment")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Submissions judged at a time.")
@click.option(
    "--unsafe", is_flag=True, help="Run students' code without a sandbox where there is none: with your rights, on your files."
)
def grade(course: Path, assignment: str, workers: int, unsafe: bool) -> None:
    """Judge what lies in COURSE/submitted/STUDENT/ASSIGNMENT, record the marks, write COURSE/feedback."""
    failed = courses.grade(course, assignment, workers, unsafe)
    for student, reason in failed.items():
        click.echo(f"no mark for {student}: {reason}", err=True)
    click.echo(
        f"{len(courses.submitted(course, assignment)) - len(failed)} submissions of {assignment} graded, feedback in {course / 'feedback'}"
    )


@main.command()
@FOLDER
@click.option("--output", type=click.Path(path_type=Path), help="The file; COURSE/marks.csv where left out.")
def marks(course: Path, output: Path | None) -> None:
    """Write the marks as CSV for Moodle or Canvas, whichever the roster came from."""
    waiting = lms.write_marks(course, output or course / "marks.csv")
    click.echo(f"{output or course / 'marks.csv'}" + (f"; still to be marked by hand: {', '.join(waiting)}" if waiting else ""))


@main.command("class-report")
@FOLDER
@click.option("--names/--no-names", default=False, show_default=True, help="Show who is who.")
def class_report(course: Path, names: bool) -> None:
    """Write COURSE/class_report.html: marks, questions, common mistakes, similar answers, progress."""
    from classroom.report import write_report  # papermill takes seconds to import

    click.echo(write_report(course, names))


@main.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
def compare(a: Path, b: Path) -> None:
    """Compare two reports' models on the test texts that both share: B minus A, in points, with 95 % intervals."""
    table, refused = comparison.compare(a, b)
    changed = comparison.changed_settings(a, b)
    click.echo(table.round(1).to_string() + "\n")
    click.echo("\n".join(comparison.describe(table)))
    click.echo(f"\nSettings that differ:\n{changed.to_string()}" if len(changed) else "\nThe settings are the same.")
    for reason in refused:
        click.echo(f"not compared: {reason}")


if __name__ == "__main__":
    main()
