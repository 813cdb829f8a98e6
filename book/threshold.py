"""What the explorer of thresholds computes on: the outputs of teacher and students on the test sets, as numbers without a text.

Run: python book/threshold.py reports/quick OUTPUT.json     (after `kdlib report`; nothing is trained or asked again)
"""

import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import ArrayLike

from kdlib import experiment
from kdlib.errors import InputError, require
from kdlib.files import home, read_json, written_aside

STUDENTS = ("distilled", "labels_only")  # those between which the notebook's control chooses, beside the teacher
DECIMALS = 9  # of a log-odds; float32 logits of 2 to 4 are themselves multiples of 2e-7


def log_odds(logits: ArrayLike) -> list[float]:
    """Logit of *positive* minus logit of *negative*, rounded. With two classes the softmax at any temperature needs no more.

    Rounding moves a probability at temperature T by at most 1.3e-10 / T: less than the float32 softmax of the notebook is off. Only a text
    whose probability lies that close to a threshold could change sides.
    """
    scores = np.asarray(logits, np.float64)
    require(scores.ndim == 2 and scores.shape[1] == 2, f"The logits have shape {scores.shape}: a threshold on one probability needs two classes.")
    return np.round(scores[:, 1] - scores[:, 0], DECIMALS).tolist()


def recorded(report: Path) -> dict[str, dict[str, list[Any]]]:
    """For each language of a report the labels of its test set and the log-odds of each model: what notebook 07 reads, without texts.

    Raises ``InputError`` where the report or what it left under KDLIB_HOME is missing: nothing is computed anew.
    """
    require((report / "metrics.json").is_file(), f"There is no metrics.json in {report}: run kdlib report.")
    metrics = read_json(report / "metrics.json")
    known = {field.name for field in fields(experiment.Settings)}
    settings = experiment.Settings(**{name: value for name, value in metrics["settings"].items() if name in known})
    with patch("kdlib.experiment.kept", only_kept), patch("kdlib.distill.predict_logits", not_again):
        everything = experiment.load_datasets(settings)
        teacher = experiment.prepare_teacher(settings, everything)
        found = {}
        for code, data in everything.items():
            labelled = experiment.label_with_teacher(data, teacher, settings)
            runs = {kind: experiment.train_student(kind, labelled, *teacher, settings, (settings.seeds or [0])[0]) for kind in STUDENTS}
            outputs = {f"student_{kind}": run.logits["test"] for kind, run in runs.items()} | {"teacher": labelled["test"]["teacher_logits"]}
            found[code] = {"labels": list(labelled["test"]["label"])} | {model: log_odds(logits) for model, logits in outputs.items()}
            check(code, found[code], metrics["languages"][code])
    return found


def only_kept(area: str, key: str, build: Callable[[Path], None]) -> Path:
    """In the place of `kdlib.files.kept`: what is there, and never built."""
    folder = home() / area / key
    require(folder.is_dir(), f"KDLIB_HOME holds no {area}/{key} of this report: run kdlib report again, with the same KDLIB_HOME.")
    return folder


def not_again(*arguments: Any, **options: Any) -> np.ndarray:
    """In the place of `predict_logits`: the teacher has answered already."""
    raise InputError("KDLIB_HOME does not hold all answers of the teacher: run kdlib report again, with the same KDLIB_HOME.")


def check(code: str, outputs: dict[str, list[Any]], figures: dict[str, Any]) -> None:
    """Are these the outputs of that report? Its accuracies say so."""
    for model in outputs.keys() - {"labels"}:
        accuracy = float(np.mean((np.array(outputs[model]) > 0) == np.array(outputs["labels"])))
        published = figures[model]["seeds"]["accuracy"][0]
        same = abs(accuracy - published) < 1e-9
        require(same, f"{code}, {model}: the recorded outputs are right on {accuracy:.4f} of the test and the report says {published:.4f}.")


def write(report: Path, target: Path) -> bool:
    """Write ``target`` for the page; False, with a line that says why, where the outputs are not there."""
    try:
        outputs = recorded(report)
    except InputError as missing:
        print(f"The explorer of thresholds is left out. {missing}")
        return False
    with written_aside(target) as aside:
        aside.write_text(json.dumps(outputs, separators=(",", ":")), encoding="utf-8")
    return True


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(not write(Path(sys.argv[1]), Path(sys.argv[2])))
