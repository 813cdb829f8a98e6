"""The diagnostic corpus keeps its rules, and its data card states its counts."""

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "data" / "diagnostics"
ROWS = [json.loads(line) for line in (FOLDER / "reviews.jsonl").read_text(encoding="utf-8").splitlines()]
SITUATIONS = [f"d{number:03d}" for number in range(1, 151)]
LANGUAGES = ["zh", "en", "fr"]
LABELS = ["positive", "negative", "mixed"]
PHENOMENA = ["plain", "negation", "contrast", "irony", "intensifier", "comparison", "code_mixing", "emoji"]
PHENOMENA += ["understatement", "idiom", "domain_term", "long"]
DOMAINS = ["hotel", "book", "film", "electronics", "restaurant"]
DOMAINS += ["clothing", "app", "service", "travel", "home"]
BOUNDS = {"zh": (8, 120), "en": (5, 60), "fr": (5, 60)}
LONG_BOUNDS = {"zh": (100, 190), "en": (60, 110), "fr": (60, 110)}


def script(character: str) -> str:
    """First word of the Unicode name: LATIN, CJK, …"""
    return unicodedata.name(character, "UNKNOWN").split()[0]


def length(row: dict[str, str]) -> int:
    """Characters in Chinese; in English and French, words, so that lone signs and emoji do not count."""
    if row["language"] == "zh":
        return len(row["text"])
    return sum(any(map(str.isalnum, word)) for word in row["text"].split())


def test_every_situation_is_there_in_three_languages() -> None:
    expected = [(f"{situation}-{lang}", situation, lang) for situation in SITUATIONS for lang in LANGUAGES]
    assert [(row["id"], row["situation"], row["language"]) for row in ROWS] == expected


def test_fields_and_their_values() -> None:
    fields = ["id", "situation", "language", "text", "label", "phenomenon", "domain"]
    assert all(list(row) == fields for row in ROWS)
    for field, values in (("label", LABELS), ("phenomenon", PHENOMENA), ("domain", DOMAINS)):
        assert {row[field] for row in ROWS} == set(values)


def test_a_situation_has_one_label_phenomenon_and_domain() -> None:
    keys = {(row["situation"], row["label"], row["phenomenon"], row["domain"]) for row in ROWS}
    assert len(keys) == len(SITUATIONS)


def test_texts_are_unique_even_without_case_and_punctuation() -> None:
    bare = Counter(re.sub(r"\W", "", row["text"]).casefold() or row["text"] for row in ROWS)
    assert [text for text, count in bare.items() if count > 1] == []


def test_no_stray_whitespace_or_control_characters() -> None:
    wrong = [row["id"] for row in ROWS if row["text"] != " ".join(row["text"].split())]
    wrong += [row["id"] for row in ROWS if any(unicodedata.category(c) == "Cc" for c in row["text"])]
    wrong += [row["id"] for row in ROWS if row["text"] != unicodedata.normalize("NFC", row["text"])]
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_scripts(language: str) -> None:
    wrong = []
    for row in (row for row in ROWS if row["language"] == language):
        letters = Counter(script(character) for character in row["text"] if character.isalpha())
        if language == "zh":
            right = letters["CJK"] > (0 if row["phenomenon"] == "code_mixing" else letters["LATIN"])
        else:
            right = set(letters) == {"LATIN"} or (row["phenomenon"] == "code_mixing" and letters["LATIN"] > 0)
        if not right:
            wrong.append(row["id"])
    assert wrong == []


def test_lengths() -> None:
    wrong = []
    for row in ROWS:
        low, high = (LONG_BOUNDS if row["phenomenon"] == "long" else BOUNDS)[row["language"]]
        if not low <= length(row) <= high:
            wrong.append((row["id"], length(row)))
    assert wrong == []


def test_every_phenomenon_has_enough_situations() -> None:
    counts = Counter(row["phenomenon"] for row in ROWS if row["language"] == "en")
    assert min(counts[phenomenon] for phenomenon in PHENOMENA) >= 8


def test_the_card_states_the_counts() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    lines = card.split("<!-- counts -->\n")[1].strip().split("\n\n")[0].splitlines()
    header, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    stated = {name: dict(zip(header[1:], map(int, cells), strict=True)) for name, *cells in body}
    labels: dict[str, list[str]] = {name: [] for name in [*PHENOMENA, "all"]}
    for row in (row for row in ROWS if row["language"] == "en"):
        labels[row["phenomenon"]].append(row["label"])
        labels["all"].append(row["label"])
    assert stated == {
        name: {**{label: found.count(label) for label in LABELS}, "all": len(found)}
        for name, found in labels.items()
    }
