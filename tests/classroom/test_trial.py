"""How the submissions that are tried are read: whole answers, answers in words, and changes against the reference."""

from pathlib import Path

import pytest

from classroom.trial import Case, cells_of, complaints, patched, read
from kdlib.errors import InputError

CODE = "def f(x):\n    y = x\n\n    return y"


@pytest.mark.parametrize(("hunks", "made"), [
    ("-    y = x\n+    y = 2 * x", "def f(x):\n    y = 2 * x\n\n    return y"),
    (" def f(x):\n+    x = 3", "def f(x):\n    x = 3\n    y = x\n\n    return y"),
    ("-    y = x\n\n-    return y\n+    return x", "def f(x):\n\n    return x"),
])  # fmt: skip
def test_hunks_change_what_they_name(hunks: str, made: str) -> None:
    assert patched(CODE, hunks, "here") == made


@pytest.mark.parametrize("hunks", ["-    z = x", "-    y = ", "-y = x"])
def test_a_hunk_that_fits_nowhere_is_refused(hunks: str) -> None:
    with pytest.raises(InputError, match="does not stand in the reference once"):
        patched(CODE, hunks, "here")


def test_a_submission_is_read_with_what_it_claims(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "wrong.py"
    file.write_text('"""Adds.\n\ncaught: test_scale, test_answer\nsays: by how\n"""\n# %% in scale\n# -    return x * variant[\'factor\']\n# +    return x + 1\n'
                    "# %% [markdown] why\n# So it is.\n# %% own\nhelper = 1\n", encoding="utf-8")  # fmt: skip
    title, answers, caught, says = read("tiny", file)
    assert (title, caught, says) == ("Adds.", ["test_scale", "test_answer"], "by how")
    assert answers == {"scale": "def scale(x):\n    return x + 1", "why": "So it is.", "own": "helper = 1"}
    sources = [cell["source"] for cell in cells_of("tiny", answers)]
    assert sources.index("helper = 1") == sources.index("So it is.") + 1 and "answer = 42" in "".join(sources)


@pytest.mark.parametrize(("result", "said"), [
    ({"a": "wrong sign", "b": None}, ""), ({"a": None, "b": None}, "fails"), ({"a": "wrong sign", "b": "too"}, "fails"), ({"a": "another", "b": None}, "says"),
])  # fmt: skip
def test_what_is_not_as_stated_is_said(result: dict[str, str | None], said: str) -> None:
    complaint = complaints(Case("tiny", "wrong/x: y", [], {}, ["a"], "sign"), result)
    assert said in complaint and bool(complaint) == bool(said)
