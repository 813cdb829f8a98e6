"""Tables that take long are made once, a row at a time, and kept in ``notebooks/results``; notebooks read them.

A row is what it was made from (``settings``) and what came out (``result``). A run that was stopped goes on with the rows that
are missing, and a row whose settings nobody asks for any more is left out.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import DatasetDict
from scipy.stats import binomtest

from kdlib import experiment, files, measure
from kdlib.errors import require

RESULTS = Path(__file__).parent.parent / "results"


def load(name: str) -> pd.DataFrame:
    """The rows of a stored table: a column for each setting and each figure."""
    file = RESULTS / f"{name}.json"
    require(file.exists(), f"{file.name} is not in {RESULTS}: make it with make experiments.")
    return pd.DataFrame([{**row["settings"], **row["result"]} for row in files.read_json(file)["rows"]])


def make(name: str, rows: list[dict[str, Any]], figures: Callable[..., dict[str, Any]], workers: int) -> None:
    """Measure the rows of a table that are not there yet, ``workers`` at a time; each is stored as soon as it is known."""
    file = RESULTS / f"{name}.json"
    stored = files.read_json(file) if file.exists() else {"rows": []}
    known = {json.dumps(row["settings"], sort_keys=True): row for row in stored["rows"]}
    wanted = {json.dumps(row, sort_keys=True): row for row in rows}
    missing = [key for key in wanted if key not in known]
    with ProcessPoolExecutor(workers, get_context("spawn"), alone) as pool:
        begun = {pool.submit(timed, figures, wanted[key]): key for key in missing}
        for _, done in zip(files.progress(range(len(missing)), name), as_completed(begun), strict=True):
            result, seconds = done.result()
            known[begun[done]] = {"settings": wanted[begun[done]], "result": result, "seconds": seconds, "made_with": made_with()}
            files.write_json(file, {"rows": [known[key] for key in wanted if key in known]})
    files.write_json(file, {"rows": [known[key] for key in wanted if key in known]})


def alone() -> None:
    """What a worker does first: one thread each, for they share the processor."""
    torch.set_num_threads(1)


def timed(figures: Callable[..., dict[str, Any]], settings: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """One row, and the seconds that it took."""
    start = time.perf_counter()
    return figures(**settings), round(time.perf_counter() - start, 1)


@cache
def made_with() -> str:
    """Versions and machine, in a line."""
    found = measure.environment()
    return ", ".join([*(f"{name} {version}" for name, version in found["versions"].items()), found["machine"]["device"]])


@cache
def taught(language: str, transfer_size: int | None = None) -> tuple[DatasetDict, experiment.Classifier, experiment.Settings]:
    """A language's data with the teacher's outputs, the teacher, the settings: those of the report, read from disk where it was made.

    With ``transfer_size`` there are so many transfer texts, at most."""
    settings = experiment.Settings(profile="quick", transfer_size=transfer_size)
    everything = experiment.load_datasets(settings)
    teacher = experiment.prepare_teacher(settings, everything)
    return experiment.label_with_teacher(everything[language], teacher, settings), teacher, settings


def right(labels: Any, logits: Any) -> dict[str, Any]:
    """``accuracy``, the number of texts ``n`` and which were right (``right``, a string of 0 and 1), for paired comparisons."""
    correct = np.argmax(logits, -1) == np.asarray(labels)
    return {"accuracy": float(correct.mean()), "n": len(correct), "right": "".join(str(int(one)) for one in correct)}


def interval(accuracy: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of an accuracy over n texts."""
    found = binomtest(round(accuracy * n), n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def agrees(live: dict[str, Any], stored: pd.DataFrame) -> bool:
    """Whether accuracies of a run here lie within the interval of the stored row or rows (other seeds) that are the same."""
    low, high = interval(float(stored["accuracy"].mean()), int(stored["n"].iloc[0]))
    return low <= live["accuracy"] <= high
