"""Would a mistake in kdlib be noticed? Each of these is made alone, in a copy, and has to fail a notebook or a test.

Run: make test-mutations   (prints who noticed what; ends with 1 where a mistake stays unseen, or where fewer than eight are seen by a notebook)
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from kdlib.files import home

ROOT = Path(__file__).parent.parent


class Mutation(NamedTuple):
    """``old`` becomes ``new`` in a module; a notebook (by its number) and a file of tests that should notice."""

    mistake: str
    module: str
    old: str
    new: str
    notebook: str
    tests: str


MUTATIONS = [
    Mutation("T² is forgotten", "losses", "return temperature**2 * _mean(_kl(", "return _mean(_kl(", "03", "losses"),
    Mutation("the sign of the soft loss", "losses", "-(teacher.softmax(-1) * student", "(teacher.softmax(-1) * student", "03", "losses"),
    Mutation("student and teacher change places in KL", "losses", "F.kl_div(log_q, log_p,", "F.kl_div(log_p, log_q,", "03", "losses"),
    Mutation("alpha weighs the labels", "losses", "(1 - alpha) * hard_target_loss(student_logits, labels, mask) + alpha * soft",
             "alpha * hard_target_loss(student_logits, labels, mask) + (1 - alpha) * soft", "03", "losses"),
    Mutation("padding counts", "losses", "torch.where(valid, values, 0.0).sum() / valid.sum().clamp(min=1)", "values.mean()", "03", "losses"),
    Mutation("the mean is over labelled rows only", "losses", 'reduction="sum") / valid.sum().clamp(min=1)', 'reduction="mean")', "03", "losses"),
    Mutation("the gradient reaches the teacher", "losses", "teacher.detach().to(dtype)", "teacher.to(dtype)", "03", "losses"),
    Mutation("layers in the wrong order", "students", "str(chosen[int(i[0])])", "str(chosen[-1 - int(i[0])])", "06", "students"),
    Mutation("embeddings of other pieces", "students", 'word_embeddings.weight"][kept]', 'word_embeddings.weight"].roll(1, 0)[kept]', "06", "students"),
    Mutation("the teacher labels with dropout", "evaluate", "    model.eval()\n    try:", "    model.train()\n    try:", "06", "evaluate"),
    Mutation("the teacher's outputs are shuffled", "distill", "np.concatenate(logits).tolist()", "np.concatenate(logits)[::-1].tolist()", "06", "distill"),
    Mutation("rows without label are labelled", "distill", "[-100 if label < 0 else label", "[0 if label < 0 else label", "06", "distill"),
    Mutation("padding is attended to", "evaluate", "parameters = inspect.signature(model.forward).parameters",
             'parameters = {"input_ids"}', "06", "evaluate"),
]  # fmt: skip


def notices(command: list[str], folder: Path) -> bool:
    """Whether the command fails with the kdlib of ``folder``, which caches nothing that others read."""
    environment = os.environ | {"PYTHONPATH": str(folder), "KDLIB_HOME": str(folder / "home"), "KDLIB_QUIET": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):  # 1: pytest found failures
        raise RuntimeError(run.stdout + run.stderr)
    return run.returncode == 1


def checks(mutation: Mutation) -> dict[str, list[str]]:
    """The commands of the notebook and of the tests; -P keeps the working directory, and so the sound kdlib, off the path."""
    (notebook,) = ROOT.glob(f"notebooks/{mutation.notebook}_*.ipynb")
    pytest = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    nbval = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", "tests/notebooks/sanitize.cfg"]
    return {f"notebook {mutation.notebook}": [*pytest, *nbval, str(notebook)],
            f"test_{mutation.tests}.py": [*pytest, f"tests/test_{mutation.tests}.py"]}  # fmt: skip


def copy_kit(folder: Path) -> None:
    """kdlib and what ships with it; of the caches only what was fetched, and the teachers."""
    shutil.copytree(ROOT / "kdlib", folder / "kdlib")
    for name in ("data", "notebooks"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "home").mkdir()
    for name in ("sources", "teachers"):
        (folder / "home" / name).symlink_to(home() / name)


def main() -> int:
    """First the kit as it is, of which nothing may be noticed; then each mistake."""
    unseen, by_notebook = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        copy_kit(Path(scratch))
        for name, command in {name: command for mutation in MUTATIONS for name, command in checks(mutation).items()}.items():
            if notices(command, Path(scratch)):
                print(f"{name} fails without any mistake: mend that first")
                return 1
    for mutation in MUTATIONS:
        with tempfile.TemporaryDirectory() as scratch:
            copy_kit(Path(scratch))
            path = Path(scratch, "kdlib", f"{mutation.module}.py")
            text = path.read_text(encoding="utf-8")
            if text.count(mutation.old) != 1:
                print(f"{mutation.mistake}: {mutation.module}.py has {mutation.old!r} {text.count(mutation.old)} times, not once")
                return 1
            path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
            seen = [name for name, command in checks(mutation).items() if notices(command, Path(scratch))]
        print(f"{mutation.mistake}: noticed by {', '.join(seen) or 'nobody'}", flush=True)
        unseen += [] if seen else [mutation.mistake]
        by_notebook += any(name.startswith("notebook") for name in seen)
    print(f"{len(MUTATIONS) - len(unseen)} of {len(MUTATIONS)} noticed, {by_notebook} by a notebook")
    return int(bool(unseen) or by_notebook < 8)


if __name__ == "__main__":
    sys.exit(main())
