"""The dialogues: composed as the card says, phrasings kept apart by split, one right reply among ten."""

import json
import re
import runpy
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import babel
import pytest
from babel.core import get_cldr_version

FOLDER = Path(__file__).parents[1] / "data" / "dialogues"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
LANGUAGES = ("zh", "en", "fr")
TEXTS = {x: json.loads((FOLDER / f"templates.{x}.json").read_text(encoding="utf-8")) for x in LANGUAGES}
LISTS = json.loads((FOLDER / "fillers.json").read_text(encoding="utf-8"))
ROWS = [json.loads(row) for x in LANGUAGES for row in (FOLDER / f"dialogues.{x}.jsonl").read_text(encoding="utf-8").splitlines()]
RANKED = [row for row in ROWS if row["split"] in ("validation", "test")]
SIZES = {"train": 300, "validation": 60, "test": 120, "transfer": 200}
PHRASINGS = [  # language, scenario, act, split, text
    (x, *where, act, split, text)
    for x in LANGUAGES
    for *where, acts in TEXTS[x]["acts"].items()
    for act, splits in acts.items()
    for split, texts in splits.items()
    for text in texts
]


def squeezed(text: str) -> str:
    return re.sub(r"[\d\s]", "", text.lower())


def test_generator_gives_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    if babel.__version__ != "2.18.0":
        pytest.skip(f"the files were written with babel 2.18.0, here is {babel.__version__}: names in CLDR may differ")
    monkeypatch.syspath_prepend(str(FOLDER))
    try:
        compose = runpy.run_path(str(FOLDER / "compose.py"))["compose"]
    finally:
        sys.modules.pop("fillers", None)
    assert compose() == ROWS
    assert f"CLDR {get_cldr_version()}" in CARD
    for x in LANGUAGES:  # the same bytes, too
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS if row["language"] == x]
        assert (FOLDER / f"dialogues.{x}.jsonl").read_bytes() == "".join(lines).encode()


def test_counts() -> None:
    assert Counter((row["language"], row["split"]) for row in ROWS) == {(x, s): n for x in LANGUAGES for s, n in SIZES.items()}
    assert len({row["id"] for row in ROWS}) == len(ROWS) == 2040
    cells = Counter((row["language"], row["split"], row["scenario"]) for row in ROWS)
    assert all(abs(cells[x, s, z] - n / 8) < 1 for x in LANGUAGES for s, n in SIZES.items() for z in LISTS["scenarios"])


def test_phrasings_belong_to_one_split_and_match_across_languages() -> None:
    assert len({(language, text) for language, *_, text in PHRASINGS}) == len(PHRASINGS)
    cells = Counter(phrasing[:4] for phrasing in PHRASINGS)
    assert {(cell[3], count) for cell, count in cells.items()} == {("train", 4), ("validation", 2), ("test", 3)}
    assert len({frozenset(cell[1:] for cell in cells if cell[0] == language) for language in LANGUAGES}) == 1


def test_no_text_of_test_in_another_split() -> None:
    texts = {split: set() for split in SIZES}
    for row in ROWS:
        texts[row["split"]] |= {squeezed(text) for text in [turn["text"] for turn in row["turns"]] + row.get("candidates", [])}
    assert not texts["test"] & (texts["train"] | texts["validation"] | texts["transfer"])
    assert not texts["validation"] & (texts["train"] | texts["transfer"])


def test_turns() -> None:
    acts = {(row["language"], row["split"], turn["act"]) for row in ROWS for turn in row["turns"]}
    assert {act for _, split, act in acts if split == "transfer"} == {None}
    names = {act for _, _, act, *_ in PHRASINGS}
    assert all((x, split, act) in acts for x in LANGUAGES for split in ("train", "validation", "test") for act in names)
    for row in ROWS:
        speakers = [turn["speaker"] for turn in row["turns"]]
        assert 4 <= len(speakers) <= 8 and all(a != b for a, b in pairwise(speakers))
        assert len(row["template"].split()) == len(speakers)
        said = " ".join(turn["text"] for turn in row["turns"])
        assert sum(name in said for name in TEXTS[row["language"]]["names"]) == 1  # one person from the first turn to the last
        for text in [turn["text"] for turn in row["turns"]] + row.get("candidates", []):
            assert not re.search(r"[{}]|  |None", text) and text == text.strip()


def test_candidates() -> None:
    for row in RANKED:
        right, position = row["correct"], row["position"]
        assert 2 <= position <= 6 and row["turns"][position]["speaker"] == "assistant"
        assert row["candidates"][right] == row["turns"][position]["text"] and len(set(row["candidates"])) == 10
        assert Counter(row["candidate_kinds"]) == {"correct": 1, "slots": 3, "act": 3, "scenario": 3}
        true = f"{row['scenario']}/{row['turns'][position]['act']}"
        for kind, act in zip(row["candidate_kinds"], row["candidate_acts"], strict=True):
            assert (act == true) == (kind in ("correct", "slots"))
            assert (act.split("/")[0] == row["scenario"]) == (kind != "scenario")
    assert set(Counter(row["correct"] for row in RANKED)) == set(range(10))
