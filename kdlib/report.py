"""The report: papermill executes ``notebooks/reports/distillation_report.ipynb`` on the reader's parameters and data."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pandas as pd
import papermill
from datasets import DatasetDict
from nbconvert import HTMLExporter

from .errors import require
from .experiment import Outcome, Settings, load_student
from .files import packaged, read_json, save, write_json, written_aside
from .measure import result_table, summary_sentences
from .tasks import report as task_report

NOTEBOOK, TASK_NOTEBOOK = (("notebooks", "reports", f"{name}_report.ipynb") for name in ("distillation", "task"))


def run_report(output: Path | str = "reports", **parameters: Any) -> Path:
    """Execute the report and return its folder ``output/<profile>``: report.html, report.ipynb, metrics.json, figures, students.

    ``parameters`` are the fields of ``Settings``; an unknown one, or any bad input, raises ``InputError``. The folder is
    written aside and moved into place; finished students and teacher outputs stay under ``KDLIB_HOME`` whatever happens.
    """
    target = Path(output).resolve() / chosen_settings(parameters).profile
    execute(NOTEBOOK, target, parameters)
    languages = read_json(target / "metrics.json")["languages"]
    print(result_table(languages).to_string(), *summary_sentences(languages), sep="\n")
    print(f"\nreport   {target / 'report.html'}\nfigures  {target / 'figures'}\nmetrics  {target / 'metrics.json'}\nstudents {target / 'students'}")
    return target


def run_task_report(output: Path | str = "reports", **parameters: Any) -> Path:
    """As ``run_report``, of a task beyond one label a text, on the reader's own file: the folder ``output/<task>`` has report.html,
    report.ipynb, metrics.json, figures, and the distilled student of the first seed. ``parameters`` are the fields of ``tasks.report.TaskSettings``.
    """
    target = Path(output).resolve() / chosen_settings(parameters, task_report.TaskSettings).task
    execute(TASK_NOTEBOOK, target, parameters)
    metrics = read_json(target / "metrics.json")
    print(metrics["metric"], pd.DataFrame(metrics["models"]).T[["value", "low", "high", "parameters", "milliseconds"]].to_string(), sep="\n")
    print(f"\nreport   {target / 'report.html'}\nmetrics  {target / 'metrics.json'}\nstudent  {target / 'student'}")
    return target


def execute(notebook: Sequence[str], target: Path, parameters: Mapping[str, Any]) -> None:
    """Execute a notebook of the kit, with these parameters and ``output``, into the folder ``target``: report.ipynb, report.html and all
    that it writes. The folder is written aside and moved into place. Raises the notebook's own ``InputError``.
    """
    with written_aside(target, folder=True) as aside:
        try:
            with patch.dict(os.environ, KDLIB_QUIET="1"):  # the kernel's bars; papermill shows its own, by cell
                bar, quiet = {"desc": f"report, {target.name}"}, ["--IPKernelApp.log_level=40"]  # errors only
                papermill.execute_notebook(packaged(*notebook), aside / "report.ipynb", {**parameters, "output": str(aside)},
                                           kernel_name="python3", progress_bar=bar, extra_arguments=quiet)  # fmt: skip
        except papermill.PapermillExecutionError as error:
            require(error.ename != "InputError", error.evalue)
            if error.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt from error
            raise
        write_html(aside / "report.ipynb")


def chosen_settings(parameters: Mapping[str, Any], kind: Any = Settings) -> Any:
    """``kind``, which is ``Settings`` or ``TaskSettings``, from papermill's parameters; a name that it does not know raises ``InputError``.

    In the notebook ``parameters`` is ``globals()``: papermill itself only warns about unknown names.
    """
    known = kind.__dataclass_fields__.keys()
    imported = {name for name, value in parameters.items() if callable(value) or isinstance(value, ModuleType)}
    others = parameters.keys() - known - imported - {"In", "Out", "output"}  # of papermill and Jupyter
    unknown = ", ".join(sorted(name for name in others if not name.startswith("_")))
    require(not unknown, f"The report has no parameter {unknown}: it knows {', '.join(sorted(known))}.")
    return kind(**{name: value for name, value in parameters.items() if name in known})


def write_html(notebook: Path) -> None:
    """The executed notebook as one HTML file beside it, without code, that loads nothing from elsewhere."""
    addresses = dict.fromkeys(("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url", "mermaid_layout_elk_js_url"), "")
    exporter = HTMLExporter(exclude_input=True, exclude_output_prompt=True, exclude_input_prompt=True, **addresses)
    body, _ = exporter.from_filename(str(notebook))
    notebook.with_suffix(".html").write_text(body, encoding="utf-8")


def save_student(outcome: Outcome, data: DatasetDict, figures: Mapping[str, Any], folder: Path) -> None:
    """Write a student as a plain `transformers` checkpoint with a model card made from the figures."""
    with written_aside(folder) as aside:
        save(aside, *load_student(outcome))
        (aside / "README.md").write_text(model_card(data["test"][0]["language"], figures), encoding="utf-8")


def model_card(language: str, figures: Mapping[str, Any]) -> str:
    """The model card of a distilled student, from the figures of ``metrics.json``."""
    student, teacher = figures["student_distilled"], figures["teacher"]
    low, high = (100 * bound for bound in student["accuracy_interval"])
    percent = {"accuracy": 100 * student["accuracy"], "low": low, "high": high, "teacher_accuracy": 100 * teacher["accuracy"]}
    personal = " The French reviews are for personal use: so is this student." if language == "fr" else ""
    card = packaged("notebooks", "reports", "model_card.md").read_text(encoding="utf-8")
    return card.format(**figures, **percent, language=language, personal=personal, millions=student["parameters"] / 1e6)


def write_metrics(settings: Settings, languages: Mapping[str, Any], environment: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write ``metrics.json`` and return its content."""
    metrics = {"profile": settings.profile, "seeds": settings.seeds, "settings": dict(vars(settings)), **environment, "languages": dict(languages)}
    write_json(folder / "metrics.json", metrics)
    return metrics
