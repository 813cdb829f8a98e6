"""The data set *formats*: composed again bit by bit, splits that share no value, the same value in each language, the card's figures."""

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import babel
import pytest

FOLDER = Path(__file__).parents[1] / "data" / "formats"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
TEXT = (FOLDER / "formats.jsonl").read_text(encoding="utf-8")
ROWS = [json.loads(line) for line in TEXT.splitlines()]
spec = importlib.util.spec_from_file_location("compose_formats", FOLDER / "compose.py")
compose = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compose)


def value(row: dict) -> tuple[str, ...]:
    """What stands in the places of a sentence, in English."""
    for sentence, *_ in compose.SENTENCES[row["kind"]]:
        pattern = re.escape(sentence).replace(r"\{x\}", "(?P<x>.+)").replace(r"\{y\}", "(?P<y>.+)")
        if match := re.fullmatch(pattern, row["en"]):
            return tuple(match.groupdict().get(name, "") for name in "xy")
    raise AssertionError(row)


def test_the_generator_gives_the_file() -> None:
    if babel.__version__ != "2.18.0":
        pytest.skip(f"the file was written with babel 2.18.0, here is {babel.__version__}: formats in CLDR may differ")
    assert "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in compose.compose()) == TEXT


def test_counts_and_splits() -> None:
    assert Counter(row["split"] for row in ROWS) == compose.SIZES
    assert len({row["en"] for row in ROWS}) == len({row["id"] for row in ROWS}) == len(ROWS) == 1200
    assert set(Counter((row["split"], row["kind"]) for row in ROWS)) == {(split, kind) for split in compose.SIZES for kind in compose.SENTENCES}
    values = {split: {value(row) for row in ROWS if row["split"] == split} for split in compose.SIZES}
    assert not values["test"] & (values["train"] | values["validation"]) and not values["validation"] & values["train"]
    assert f"{sum(map(len, compose.SENTENCES.values()))} sentences" in CARD and len(TEXT.encode()) < 300_000


def test_each_language_has_the_same_digits() -> None:
    for row in ROWS:
        assert not re.search(r"[{}\u202f\xa0]|  ", "".join(row[language] for language in compose.LOCALES))
        if row["kind"] in ("number", "percent", "time", "measure"):
            assert len({re.sub(r"\D", "", row[language]) for language in compose.LOCALES}) == 1
        if row["kind"] == "number":
            assert re.search(r"\d \d{3}", row["fr"]) and re.search(r"\d,\d{3}", row["en"]) and re.search(r"\d,\d{3}", row["zh"])
