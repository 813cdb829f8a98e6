"""The data set *facts*: composed again bit by bit, splits that do not leak, spans that point at names, the card's figures."""

import importlib.util
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import babel
import pytest
from babel.core import get_global

FOLDER = Path(__file__).parents[1] / "data" / "facts"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
TEMPLATES = json.loads((FOLDER / "templates.json").read_text(encoding="utf-8"))
spec = importlib.util.spec_from_file_location("compose_facts", FOLDER / "compose.py")
compose = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compose)
NAMES = {"entities": "entities.jsonl", "relation": "relations.jsonl"}
FILES = {kind: (FOLDER / name).read_text(encoding="utf-8") for kind, name in NAMES.items()}
ROWS = {kind: [json.loads(line) for line in text.splitlines()] for kind, text in FILES.items()}
ALL = ROWS["entities"] + ROWS["relation"]
PAIRS = "works_for PER ORG, born_in PER CITY, located_in CITY COUNTRY, currency_of CURRENCY COUNTRY, language_of LANGUAGE COUNTRY"
CELLS = {tuple(pair.split()) for pair in PAIRS.split(", ")}


def test_card_names_the_versions_and_the_generator_gives_the_files() -> None:
    wanted = re.search(r"CLDR (\d+), babel (\S+?)[,;)]", CARD)
    if (get_global("cldr")["version"], babel.__version__) != wanted.groups():
        pytest.skip(f"the files were composed with babel {wanted[2]}, here is {babel.__version__}")
    rows = compose.compose()
    for kind, text in FILES.items():
        assert text == "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows if row["kind"] == kind)


def test_counts_and_labels() -> None:
    assert len({row["id"] for row in ALL}) == len(ALL)
    for kind, rows in ROWS.items():
        counts = Counter((row["language"], row["split"]) for row in rows)
        assert counts == {(x, split): n for x in compose.LANGUAGES[kind] for split, n in compose.SIZES[kind].items()}
        assert all((row[kind] is None) == (row["split"] == "transfer") for row in rows)
    for language, split in [(x, s) for x in compose.LANGUAGES["relation"] for s in ("train", "validation", "test")]:
        rows = [row for row in ROWS["relation"] if (row["language"], row["split"]) == (language, split)]
        counts = Counter((row["relation"], row["head"][2], row["tail"][2]) for row in rows)
        assert set(counts) == CELLS | {("none", *cell[1:]) for cell in CELLS}
        assert len(set(counts.values())) == 1, "within each pair of types, half of the sentences state the relation"
        rows = [row for row in ROWS["entities"] if (row["language"], row["split"]) == (language, split)]
        assert not rows or {span[2] for row in rows for span in row["entities"]} == {"PER", "LOC", "ORG"}
        assert not rows or {len(row["entities"]) for row in rows} == {0, 1, 2, 3}


def test_templates_and_texts_are_of_one_split() -> None:
    splits: dict[str, set[str]] = {}
    for row in ALL:
        splits.setdefault(row["template"], set()).add(row["split"])
    assert all(len(found) == 1 or found == {"train", "transfer"} for found in splits.values())
    assert set(splits) == {row["template"] for kind in ROWS for row in TEMPLATES[kind]}
    assert len({row["text"] for row in ALL}) == len(ALL)
    texts: dict[str, set[str]] = {}
    for row in ALL:
        texts.setdefault(re.sub(r"[\d\s]", "", row["text"].lower()), set()).add(row["split"])
        assert not re.search(r"[{}|]|None| {2}", row["text"])
    assert all(len(found) == 1 or found == {"train", "transfer"} for found in texts.values()), "these two share templates"


def test_spans_point_at_names() -> None:
    for row in ALL:
        spans = sorted(row.get("entities") or [row[key] for key in ("head", "tail") if key in row])
        for start, end, _ in spans:
            name = row["text"][start:end]
            assert name == name.strip() and name and not re.match(r"(the|la|le|les) (?!Paz)|l'", name)
            assert not re.match(r"\w", row["text"][end:]) or row["language"] == "zh" or row["text"][end:].startswith("s ")
        assert all(first[1] <= second[0] for first, second in pairwise(spans))
        assert row.get("style") != "lower" or (row["text"] == row["text"].lower() and row["split"] == "test")


def test_denied_pairs_are_not_facts() -> None:
    for row in TEMPLATES["relation"]:
        assert (row["pair"] == "true") == (row["relation"] != "none")
    for kind in ("CITY", "CURRENCY", "LANGUAGE"):
        assert all(compose.may_be_true(kind, code, land) for code, land in compose.facts(kind))
        assert not {"TW", "HK", "MO", "PS", "XK", "EH"} & {land for _, land in compose.facts(kind)}


@pytest.mark.parametrize("language", ["en", "fr"])
def test_dictionary_of_names_reaches_what_the_card_says(language: str) -> None:
    rows = [row for row in ROWS["entities"] if row["language"] == language]
    names = {row["text"][a:b]: kind for row in rows if row["split"] == "train" for a, b, kind in row["entities"]}
    finder = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + r")(?!\w)")
    test = [row for row in rows if row["split"] == "test"]
    gold = {(row["id"], *span) for row in test for span in row["entities"]}
    found = {(row["id"], *match.span(), names[match[0]]) for row in test for match in finder.finditer(row["text"])}
    f1 = 200 * len(gold & found) / (len(gold) + len(found))
    new = sum(row["text"][a:b].lower() not in {name.lower() for name in names} for row in test for a, b, _ in row["entities"])
    card = re.search(rf"\| {language} \| dictionary \| (\S+) \|", CARD)
    assert abs(f1 - float(card[1])) < 0.06 and new > len(gold) / 2
