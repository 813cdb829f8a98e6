"""The class report: papermill executes ``classroom/class_report.ipynb`` on a course's folder."""

from pathlib import Path

import papermill

from kdlib.errors import require
from kdlib.files import written_aside
from kdlib.report import write_html


def write_report(course: Path, names: bool = False) -> Path:
    """Write ``class_report.ipynb`` and ``class_report.html`` into the course's folder; returns the second. Raises ``InputError`` where nothing is graded."""
    require((course / "gradebook.db").exists(), f"{course} has no gradebook: make assign, then make grade first.")
    notebook = course / "class_report.ipynb"
    with written_aside(notebook) as aside:
        parameters = {"course": str(course.resolve()), "names": names}
        try:
            papermill.execute_notebook(
                Path(__file__).with_name("class_report.ipynb"), aside, parameters, kernel_name="python3", progress_bar=False
            )
        except papermill.PapermillExecutionError as error:
            require(error.ename != "InputError", error.evalue)
            raise
    write_html(notebook)
    return notebook.with_suffix(".html")
