"""The stored tables that notebooks read: what was measured is kept, row by row."""

import gettext
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import polib
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))

from experiments import other_texts, parallel, table

ROWS = [{"language": "zh", "seed": seed} for seed in range(3)]


def doubled(language: str, seed: int) -> dict[str, Any]:
    """A measurement that can fail, and counts itself by a line in a file."""
    with Path("calls.txt").open("a", encoding="utf-8") as file:
        file.write(f"{seed}\n")
    if Path("stop").exists() and seed == 2:
        raise RuntimeError("stopped")
    return {"accuracy": seed / 2, "n": 8}


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(table, "RESULTS", tmp_path)


def test_a_stopped_run_goes_on_with_the_rows_that_are_missing() -> None:
    Path("stop").touch()
    with pytest.raises(RuntimeError, match="stopped"):
        table.make("tiny", ROWS, doubled, 1)
    assert list(table.load("tiny")["seed"]) == [0, 1]
    Path("stop").unlink()
    table.make("tiny", ROWS, doubled, 1)
    assert Path("calls.txt").read_text(encoding="utf-8").split() == ["0", "1", "2", "2"]
    assert list(table.load("tiny")["accuracy"]) == [0.0, 0.5, 1.0]
    assert all(row["seconds"] >= 0 and "torch" in row["made_with"] for row in json.loads(Path("tiny.json").read_bytes())["rows"])


def test_a_row_that_nobody_asks_for_any_more_is_left_out() -> None:
    table.make("tiny", ROWS, doubled, 2)
    table.make("tiny", [*ROWS[1:], {"language": "fr", "seed": 5}], doubled, 2)
    assert list(table.load("tiny")["seed"]) == [1, 2, 5]
    assert len(Path("calls.txt").read_text(encoding="utf-8").split()) == 4
    table.make("tiny", ROWS[2:], doubled, 2)
    assert list(table.load("tiny")["seed"]) == [2]


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"^none\.json is not in .*: make it with make experiments\.$"):
        table.load("none")


def test_a_live_run_agrees_within_the_interval_of_the_stored_ones() -> None:
    stored = pd.DataFrame({"accuracy": [0.79, 0.81], "n": [400, 400]})
    low, high = table.interval(0.8, 400)
    assert low == pytest.approx(0.758, abs=1e-3) and high == pytest.approx(0.836, abs=1e-3)
    assert [table.agrees({"accuracy": value}, stored) for value in (low - 0.01, 0.78, high + 0.01)] == [False, True, False]


def test_which_texts_were_right() -> None:
    assert table.right([0, 1, 1], [[2.0, 1.0], [0.0, 1.0], [1.0, 0.0]]) == {"accuracy": pytest.approx(2 / 3), "n": 3, "right": "110"}


def test_the_mark_at_the_beginning_of_a_file_is_no_part_of_a_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "amazon-de.csv"
    file.write_text('"1","Ein schönes Buch, sehr gern gelesen."\n"-1","Langweilig bis zum Schluss."\n', encoding="utf-8-sig")
    monkeypatch.setattr(other_texts, "fetch", lambda name: {file.name: file})
    assert sorted(other_texts.collected.__wrapped__("de")) == [("Ein schönes Buch, sehr gern gelesen.", 1), ("Langweilig bis zum Schluss.", 0)]


def test_catalogues_are_read_as_gettext_reads_them(tmp_path: Path) -> None:
    written = {"Close the window?": "Fermer la fenêtre ?", "It is on its way.": "En route."}
    entries = [polib.POEntry(msgid=english, msgstr=text) for english, text in written.items()]
    entries += [polib.POEntry(msgid="%d book", msgid_plural="%d books", msgstr_plural={0: "%d livre", 1: "%d livres"})]
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=utf-8"}
    catalogue.extend(entries)
    catalogue.save_as_mofile(str(tmp_path / "ours-fr.mo"))
    found = parallel.read_catalogue(tmp_path / "ours-fr.mo")
    with (tmp_path / "ours-fr.mo").open("rb") as file:
        known = gettext.GNUTranslations(file)
    assert found == {english: known.gettext(english) for english in written} | {"%d book": "%d livre"}
