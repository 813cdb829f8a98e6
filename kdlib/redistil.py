"""Re-distillation: a student in service goes on learning from its teacher, and is replaced only where test sets say so.

A *store* is a folder of versions of one student: ``STORE/1``, ``STORE/2``, … are checkpoints that the Auto classes load, and the
file ``STORE/current`` has the number of the one in service. To begin one, copy a student's folder to ``STORE/1``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from .distill import DistillationArguments, add_teacher_outputs, set_dropout, train_classifier
from .errors import require
from .evaluate import check_texts, describe_difference, paired_bootstrap, predict_logits
from .files import locked, read_json, save, write_json, written_aside
from .label import load_labeller


def in_service(store: Path, version: str | int | None = None) -> Path:
    """The folder of the version that ``STORE/current`` names (the first where there is no such file yet), or of another ``version``.

    Raises ``InputError`` where the store has no such version.
    """
    file, remedy = store / "current", f"copy a student's folder to {store / '1'}, or name a version that is there"
    name = str(version) if version is not None else file.read_text(encoding="utf-8", errors="replace").strip() if file.exists() else "1"
    require(name.isdecimal() and (store / name / "config.json").is_file(), f"{store} has no version {name} of a student: {remedy}.")
    return store / name


def promote(store: Path, version: str | int) -> None:
    """Put a version in service, also an earlier one: a reader of ``STORE/current`` sees the old or the new number, nothing else."""
    in_service(store, version)
    with written_aside(store / "current") as aside:
        aside.write_text(f"{version}\n", encoding="utf-8")


def roll_back(store: Path) -> None:
    """Put the version that the one in service replaced in service again; raises ``InputError`` where it replaced none."""
    file = in_service(store) / "redistil.json"
    require(file.is_file(), f"The version in service, {file.parent}, replaced no other: promote the one that you want.")
    promote(store, read_json(file)["replaces"])


def redistil(store: Path, texts: Sequence[str], tests: Mapping[str, Dataset], teacher: str = "packaged", replay: Sequence[str] = (),
             margin: float = 0.01, seed: int = 0, epochs: float = 3.0, max_length: int = 128) -> dict[str, Any]:  # fmt: skip
    """Train the student in service on new text, keep it as the next version, and promote it where `decide` says so.

    It starts from its weights and learns the teacher's logits on ``texts`` (new transfer text, no labels) and on ``replay`` (old
    transfer text, so that it forgets less), without dropout; no label takes part and no epoch is chosen: the last one counts.
    Both versions are judged on ``tests``, data sets with the columns text and label. The vocabulary stays as it is: where
    `vocabulary.unknown_rate` has risen on the new text, distil a new student in place of this one.

    Args:
        teacher: A local checkpoint of a classifier, or a hub id.
        margin: How much accuracy the new version may lose on any of the test sets.
        epochs: How often all of the texts are learnt.
        seed: Of the order of the texts.
        max_length: Tokens after which a text is cut.

    Returns, and writes as redistil.json beside the weights, ``version``, ``replaces``, what `decide` returns, and the settings.
    A run that dies on its way leaves the versions and ``current`` as they were. Where another version was put in service
    meanwhile, the new one is not promoted. What is in service, ``STORE/current`` alone says.

    Raises ``InputError`` for a store without a version; no texts, no tests; a test set without rows or with labels that the
    student does not have; a teacher of other classes; a margin, epochs or length out of range; another run at work in the store.
    """
    new, old = check_texts(texts), check_texts(replay)
    require(new and tests, f"There are {len(new)} new texts to learn from and {len(tests)} test sets to be judged on: give some of both.")
    require(0 <= margin < 1 and 0 < epochs <= 1000, f"margin is {margin}, epochs {epochs}: give a share from 0 to below 1, and more than 0 epochs.")
    with locked(in_service(store).parent, "kdlib redistil"):
        served, number = in_service(store), 1 + max(int(path.name) for path in store.iterdir() if path.name.isdecimal())
        (model, tokenizer), (judge, judge_tokenizer) = load_labeller(str(served), max_length), load_labeller(teacher, max_length)
        names, told = ([*part.config.id2label.values()] for part in (model, judge))
        require(told == names, f"{teacher} tells {', '.join(told)} apart, and the student {', '.join(names)}: give a teacher of the same classes.")
        for name, test in tests.items():
            fits = {"text", "label"} <= {*test.column_names} and len(test) and {*test["label"]} <= {*range(len(names))}
            fits = fits and getattr(test.features["label"], "names", names)[: len(names)] == names
            require(fits, f"{name} needs rows with a text and a label, 0 to {len(names) - 1} for {', '.join(names)}: rename or drop the others.")
        before = are_right(model, tokenizer, tests, max_length)
        rows = add_teacher_outputs(Dataset.from_dict({"text": new + old, "label": [-1] * len(new + old)}), judge, judge_tokenizer, max_length)
        args = DistillationArguments(alpha=1.0, num_train_epochs=epochs, seed=seed, eval_strategy="no", save_strategy="no",
                                     load_best_model_at_end=False)  # fmt: skip
        set_dropout(model, 0.0)
        train_classifier(model, tokenizer, rows, rows.take(1), args, max_length)  # nobody is judged on this row
        result = {"version": number, "replaces": int(served.name), **decide(before, are_right(model, tokenizer, tests, max_length), margin)}
        result |= {"teacher": teacher, "texts": len(new), "replay": len(old), "margin": margin, "seed": seed, "epochs": epochs, "max_length": max_length}
        if in_service(store) != served:
            result |= {"promoted": False, "reasons": [*result["reasons"], "Another version was put in service meanwhile: begin again from that one."]}
        with written_aside(store / str(number)) as aside:
            save(aside, model, tokenizer)
            write_json(aside / "redistil.json", result)
        if result["promoted"]:
            promote(store, number)
    return result


def are_right(model: Any, tokenizer: Any, tests: Mapping[str, Dataset], max_length: int) -> dict[str, Any]:
    """Of each test set [n], whether the model is right on a text."""
    return {name: predict_logits(model, tokenizer, test["text"], max_length=max_length).argmax(-1) == test["label"][:] for name, test in tests.items()}


def decide(before: Mapping[str, Any], after: Mapping[str, Any], margin: float = 0.01) -> dict[str, Any]:
    """The promotion rule, from who is right (1 or 0) on each text of each test set, [n], before and after.

    ``promoted`` where on every test set the lower end of the 95 % interval of after − before lies above −``margin``, and on one
    of them above 0. ``reasons`` has a sentence for each, ``tests`` n, old and new accuracy, difference, low, high. The more test
    sets, the more often luck alone lifts one above 0 (each 1 time in 40): look again on fresh texts before much depends on it.
    """
    gaps = {name: paired_bootstrap(after[name], before[name]) for name in before}
    lows, worse = [gap.low for gap in gaps.values()], f" It may be {100 * margin:g} points worse or more."
    reasons = [f"{name}: {describe_difference(gap, 'the new version', 'the old one')}{worse * (gap.low <= -margin)}" for name, gap in gaps.items()]
    tests = {name: {"n": len(old), "old": float(np.mean(old)), "new": float(np.mean(after[name])), **gaps[name]._asdict()} for name, old in before.items()}
    return {"promoted": min(lows) > -margin and max(lows) > 0, "reasons": reasons, "tests": tests}
