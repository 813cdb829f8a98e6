"""The composed intents: the file is what its generator gives, and no phrasing crosses a split."""

import importlib.util
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

babel = pytest.importorskip("babel")
FOLDER = Path(__file__).parents[1] / "data" / "intents"
COUNTS = {"train": 504, "validation": 112, "test": 224, "transfer": 980}
PER_INTENT = {"train": 36, "validation": 8, "test": 16}
PER_TEMPLATES = {"train": 12, "validation": 3, "test": 8, "transfer": 2}


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """The rows of the committed file."""
    return [json.loads(line) for line in (FOLDER / "intents.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def composing() -> ModuleType:
    """The generator, imported from its file."""
    spec = importlib.util.spec_from_file_location("compose_intents", FOLDER / "compose.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def card_version() -> str:
    """The CLDR version that the data card names."""
    return re.search(r"CLDR (\d+(?:\.\d+)?)", (FOLDER / "README.md").read_text(encoding="utf-8"))[1]


def test_the_generator_gives_the_committed_file_bit_by_bit(composing: ModuleType) -> None:
    if babel.core.get_cldr_version() != card_version():
        pytest.skip(f"composed with CLDR {card_version()}; this babel has {babel.core.get_cldr_version()}")
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in composing.compose()]
    assert "".join(lines).encode() == (FOLDER / "intents.jsonl").read_bytes()


def test_counts_of_rows_and_labels_are_those_of_the_card(rows: list[dict]) -> None:
    counts = Counter((row["language"], row["split"]) for row in rows)
    assert counts == {(language, split): number for language in ("zh", "en", "fr") for split, number in COUNTS.items()}
    labels = Counter((row["language"], row["split"], row["intent"]) for row in rows if row["split"] != "transfer")
    assert len(labels) == 3 * 3 * 14
    assert all(number == PER_INTENT[split] for (_, split, _), number in labels.items())
    assert all((row["intent"] is None) == (row["split"] == "transfer") for row in rows)
    assert all(row["template"].startswith(f"{row['intent']}-") for row in rows if row["intent"])
    assert len({row["id"] for row in rows}) == len(rows)
    assert (FOLDER / "intents.jsonl").stat().st_size < 1_500_000


def test_templates_belong_to_one_split_and_are_all_different(composing: ModuleType, rows: list[dict]) -> None:
    for language in composing.LANGUAGES:
        intents = composing.load_templates(language)["intents"]
        assert all({split: len(found) for split, found in splits.items()} == PER_TEMPLATES for splits in intents.values())
        written = [template for splits in intents.values() for found in splits.values() for template in found]
        assert len({re.sub(r"\W", "", re.sub(r"\{\w+\}", "", text.lower())) for text in written}) == len(written)
    used = {split: {row["template"] for row in rows if row["split"] == split} for split in COUNTS}
    for one, other in itertools.combinations(COUNTS, 2):
        assert bool(used[one] & used[other]) == ((one, other) == ("train", "transfer")), (one, other)
    assert used["train"] < used["transfer"]


def test_no_text_occurs_twice_nor_in_two_splits(composing: ModuleType, rows: list[dict]) -> None:
    assert len({(row["language"], row["text"]) for row in rows}) == len(rows)
    for language in composing.LANGUAGES:
        own = [row for row in rows if row["language"] == language]
        texts = {split: {composing.compared(row["text"]) for row in own if row["split"] == split} for split in COUNTS}
        for one, other in itertools.combinations(COUNTS, 2):  # a transfer text may be one of train with another number
            assert (one, other) == ("train", "transfer") or not texts[one] & texts[other], (language, one, other)


def test_a_third_of_the_fillers_is_kept_for_test(composing: ModuleType) -> None:
    for language in composing.LANGUAGES:
        for codes in composing.load_templates(language)["fillers"].values():
            test, train = (set(composing.fillers_of(codes, split)) for split in ("test", "train"))
            assert test - train and train - test and test & train and test | train == set(codes)


def test_texts_are_filled_and_written_in_their_language(rows: list[dict]) -> None:
    for row in rows:
        assert not re.search(r"[{}\[\]|\u202f\xa0]|\s\s|^\s|\s$", row["text"]), row
        assert bool(re.search(r"[\u4e00-\u9fff]", row["text"])) == (row["language"] == "zh"), row
        if row["language"] == "zh":
            assert not re.search("[A-Za-z]", row["text"]), row
        if row["language"] == "fr":
            assert not re.search(r"\b(?:de|le|que) [AEIOUÉaeioué]|\bà le |\bde le ", row["text"]), row
            assert not re.search(r"\w[?!;:](?!\d)", row["text"]), row
