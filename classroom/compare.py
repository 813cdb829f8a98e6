"""Two reports side by side: what differs in their settings, and which model is better by how much, on the texts that both were tested on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdlib.errors import explained, require
from kdlib.evaluate import PairedDifference, describe_difference, difference
from kdlib.files import read_json


def read_report(report: Path | str) -> dict[str, Any]:
    """The ``metrics.json`` of a report's folder, or that file; raises ``InputError`` where there is none."""
    file = Path(report) / "metrics.json" if Path(report).is_dir() else Path(report)
    with explained(f"{file} is no report's metrics.json", "give the folder that kdlib report wrote", OSError, ValueError):
        metrics = read_json(file)
        require(
            isinstance(metrics, dict) and isinstance(metrics.get("languages"), dict),
            f"{file} has no languages: give the folder that kdlib report wrote.",
        )
    return metrics


def compare(a: Path | str, b: Path | str) -> tuple[pd.DataFrame, list[str]]:
    """Accuracy b − a of every model that both reports have, paired by text, with 95 % intervals; and what could not be compared, with the reason.

    Raises ``InputError`` where nothing can be compared.
    """
    reports = [read_report(a), read_report(b)]
    rows, refused = {}, []
    for code in sorted(reports[0]["languages"].keys() | reports[1]["languages"].keys()):
        both = [report["languages"].get(code) for report in reports]
        if reason := why_not(*both):
            refused.append(f"{code}: {reason}")
            continue
        for model in both[0]["right"].keys() & both[1]["right"].keys():
            right = [np.array([[int(mark) for mark in run] for run in figures["right"][model]]) for figures in both]
            if len({len(runs) for runs in right} - {1}) > 1:
                refused.append(
                    f"{code}, {model}: {len(right[0])} seeds in one report, {len(right[1])} in the other; give both the same seeds."
                )
                continue
            gap = difference(right[1], right[0])
            rows[code, model] = {
                "a": 100 * right[0].mean(),
                "b": 100 * right[1].mean(),
                **{name: 100 * gap[name] for name in ("difference", "low", "high", "smallest_detectable")},
            }
    require(bool(rows), f"Nothing can be compared: {' '.join(refused) or 'the reports have no language in common.'}")
    return pd.DataFrame(rows).T.sort_index(), refused


def why_not(a: dict[str, Any] | None, b: dict[str, Any] | None) -> str:
    """Why the models of a language cannot be compared text by text, or nothing."""
    if a is None or b is None:
        return "only one of the reports has it."
    if "test_set" not in a or "test_set" not in b:
        return "a report of an earlier version does not say which texts were right: write it anew with kdlib report."
    if a["test_set"] != b["test_set"]:
        return (
            f"the test sets differ ({a['data']['test']} and {b['data']['test']} texts): a difference would mix models with texts."
        )
    return ""


def changed_settings(a: Path | str, b: Path | str) -> pd.DataFrame:
    """The settings in which two reports differ."""
    settings = [read_report(report).get("settings", {}) for report in (a, b)]
    names = [name for name in settings[0] | settings[1] if settings[0].get(name) != settings[1].get(name)]
    return pd.DataFrame(
        {"a": [str(settings[0].get(name)) for name in names], "b": [str(settings[1].get(name)) for name in names]}, index=names
    )


def describe(table: pd.DataFrame) -> list[str]:
    """A sentence for each model: what the interval allows to say."""
    gaps = {key: PairedDifference(*(row[name] / 100 for name in ("difference", "low", "high"))) for key, row in table.iterrows()}
    return [f"{code}, {model}: {describe_difference(gap, 'b', 'a')}" for (code, model), gap in gaps.items()]
