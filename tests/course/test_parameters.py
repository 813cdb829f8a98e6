"""Notebooks with parameters run with others than the default too, through papermill, as a reader would run them.

Run: make test-slow, or pytest -m slow tests/course
"""

from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from papermill.inspection import inspect_notebook

pytestmark = pytest.mark.slow
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.ipynb"))
OTHERS: dict[str, dict[str, Any]] = {
    "05_multilingual_teacher": {"sample_size": 60, "slice_size": 40, "prefix": "passage: ", "seed": 1},
    "06_distil_by_hand": {"language": "fr", "rows": 64, "transfer_rows": 64, "max_length": 32, "temperature": 3.0, "alpha": 0.5, "epochs": 1, "seed": 1},
    "07_case_study_zh_en_fr": {"profile": "slice", "languages": ["fr", "en"], "seed": 1},
    "09_deploy_and_keep_fresh": {"profile": "slice", "languages": ["en"], "seed": 1},
}


def has_parameters(path: Path) -> bool:
    cells = nbformat.read(path, as_version=4).cells
    return any("parameters" in cell.metadata.get("tags", []) for cell in cells)


def test_every_notebook_with_parameters_is_run() -> None:
    assert [path.stem for path in NOTEBOOKS if has_parameters(path)] == sorted(OTHERS)


@pytest.mark.parametrize("name", OTHERS)
def test_a_notebook_runs_with_other_parameters(name: str, tmp_path: Path) -> None:
    (path,) = (path for path in NOTEBOOKS if path.stem == name)
    defaults = {known: row["default"] for known, row in inspect_notebook(path).items()}
    assert OTHERS[name].keys() <= defaults.keys()
    assert not [known for known, value in OTHERS[name].items() if repr(value) == defaults[known].replace('"', "'")]
    ran = papermill.execute_notebook(path, tmp_path / path.name, OTHERS[name], kernel_name="python3", progress_bar=False, cwd=path.parent)
    texts = [output.get("text", "") for cell in ran.cells for output in cell.get("outputs", [])]
    assert sum(len(text.splitlines()) for text in texts) >= 8
