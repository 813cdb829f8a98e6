"""A search within ranges, in Optuna itself, around the one function of kdlib that judges settings on the validation rows.

Run: python examples/optuna_study.py 30     (until 30 trials are finished; a later run goes on)

`kdlib sweep` tries every combination of a few values. This is the way for ranges: Optuna's TPE draws the next trial from what
the last ones showed. Its documentation says how to add parameters, conditions between them, or processes that share a study.
"""

import sys

import optuna

from kdlib.experiment import Settings, validate


def objective(trial: optuna.Trial) -> float:
    """Validation accuracy of the distilled student, over the seeds and the texts of all languages; the test rows take no part."""
    chosen = {
        "temperature": trial.suggest_float("temperature", 1, 8, log=True),
        "alpha": trial.suggest_float("alpha", 0.3, 1),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-3, log=True),
        "layers": trial.suggest_int("layers", 1, 6),
    }
    return float(validate(Settings(profile="quick", languages=["en"], **chosen)).mean())


def search(trials: int) -> optuna.Study:
    """The study optuna_study.db in this folder, once it has so many finished trials; one that was cut off is drawn anew."""
    study = optuna.create_study(storage="sqlite:///optuna_study.db", study_name="en", direction="maximize", load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))  # another seed a run, or it would draw the same again
    finished = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    study.optimize(objective, n_trials=max(0, trials - len(finished)))
    return study


if __name__ == "__main__":
    print(search(int(sys.argv[1])).trials_dataframe(("number", "state", "value", "params")).sort_values("value", ascending=False).to_string())
