"""Sweeps over the parameters of a report: every combination of the values of a grid, stored as an Optuna study.

A trial trains the distilled student of every language and seed and is judged on the **validation** rows. The test rows
take no part (see ``experiment.validate``): ``kdlib report`` opens them once, for the setting that was chosen here. Expect
a little less there, since the best of many trials was also the luckiest on these rows, which chose its epoch as well.

What is maximised is accuracy, which a report publishes, and not closeness to the teacher (KL): how close to the teacher a
student is drawn is what temperature, alpha and objective set, so that KL would favour some of them by definition.

For ranges in place of lists write the study in Optuna itself, around ``experiment.validate``: ``examples/optuna_study.py``.
"""

import json
from itertools import product
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from joblib import Parallel, delayed
from matplotlib.figure import Figure

from .errors import require
from .evaluate import mean_and_sd, paired_bootstrap
from .experiment import Settings, digest, load_datasets, validate
from .files import locked, progress

COLUMNS = ["validation accuracy", "low", "high", "sd", "seeds", "texts"]  # of the table


def run_sweep(grid: dict[str, Any], output: Path, workers: int = 1, **parameters: Any) -> pd.DataFrame:
    """Run the trials that are missing and return the table, the best first; ``output`` gets sweep.csv, sweep.png and sweep.db.

    ``grid`` gives some of the fields of ``Settings`` a list of values each, ``parameters`` are other fields. ``workers``
    trials run at once, each in a process of its own. A finished trial is a row of the SQLite file sweep.db, written in one
    transaction: however a run ends, the same call goes on with the trials that are missing, and the students that were
    finished of a trial are kept under ``KDLIB_HOME``. Another grid, other settings or other data are another study.

    The index of the table are the values of each trial, as JSON. Its columns: validation accuracy, the mean over seeds
    and over the texts of all languages; low and high, its 95 % bootstrap interval over both; sd, over seeds; how many
    seeds and texts. Trials share their texts: of two whose intervals overlap, one may still be better.

    Raises ``InputError``, before anything starts, for a parameter that the report does not have or that is given twice, a
    value that it does not take, and data that cannot be read; and where another sweep is at work in ``output``.
    """
    unfit = [name for name in grid if name not in Settings.__dataclass_fields__ or name in parameters or not (isinstance(grid[name], list) and grid[name])]
    require(grid and not unfit, f"No grid can be made of {', '.join(unfit) or 'nothing'}: give parameters of kdlib report a list of values each, once.")
    space: dict[str, Any] = {name: optuna.distributions.CategoricalDistribution([*dict.fromkeys(map(json.dumps, grid[name]))]) for name in sorted(grid)}
    points = [dict(zip(space, values, strict=True)) for values in product(*(part.choices for part in space.values()))]
    settings = [Settings(**parameters, **{name: json.loads(value) for name, value in point.items()}) for point in points]
    with locked(output, "kdlib sweep"):  # the name of the study says all that its figures depend on: a finished trial holds for good
        study = optuna.create_study(storage=f"sqlite:///{output / 'sweep.db'}", direction="maximize", load_if_exists=True, study_name=digest(
            space, vars(settings[0]), [[data[name].to_dict() for name in data if name != "test"] for data in load_datasets(settings[0]).values()]))  # fmt: skip
        done, judge = [trial.params for trial in study.trials], delayed(lambda n: (n, validate(settings[n])))
        for n, right in progress(Parallel(workers, return_as="generator_unordered")(judge(n) for n, point in enumerate(points) if point not in done), "trials"):
            # The accuracy and its interval are those of the difference from a model that is never right.
            figures = dict(zip(COLUMNS, (*paired_bootstrap(right, 0 * right), mean_and_sd(right.mean(1))[1], *right.shape), strict=True))
            study.add_trial(optuna.create_trial(value=figures[COLUMNS[0]], params=points[n], distributions=space, user_attrs=figures))
        table = pd.DataFrame([t.params | t.user_attrs for t in study.trials]).set_index([*space])[COLUMNS].sort_values(COLUMNS[0], ascending=False)
        table.to_csv(output / "sweep.csv")
        figure = Figure()  # of its own: nothing stays open
        table.iloc[:, :3].plot(ax=figure.subplots(), style=["ko", "k_", "k_"], xticks=range(len(table)), rot=90)
        figure.savefig(output / "sweep.png", bbox_inches="tight")
    return table
