"""Texts unlike those that the students of the report learnt from: other languages, other domains, other spellings."""

import csv
import json
import re
import unicodedata
from functools import cache

from kdlib.corpora import MIN_RATING, clean, normalise, stable_order
from kdlib.files import packaged
from kdlib.sources import fetch

from . import table

TAUGHT, UNTAUGHT, DOMAINS = ["zh", "en", "fr"], ["nl", "de"], ["movie", "amazon", "tweets", "editorials"]
TESTED = 400  # texts of a test set, at most
SIGNS = "".join(packaged("data", "variants", "traditional.txt").read_text(encoding="utf-8").split())
WRITTEN = [json.loads(line) for line in packaged("data", "variants", "mixed.jsonl").read_text(encoding="utf-8").splitlines()]


def traditional(text: str) -> str:
    """The text in traditional Chinese characters, as far as the table of the kit goes."""
    return text.translate(str.maketrans(SIGNS[::2], SIGNS[1::2]))


def spaced(text: str) -> str:
    """A space between any two Chinese characters, as some programs leave it behind."""
    return re.sub(r"(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])", " ", text)


def unaccented(text: str) -> str:
    """The text without accents and cedillas."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


CHANGES = {"traditional": traditional, "spaced": spaced, "unaccented": unaccented}


@cache
def collected(name: str) -> list[tuple[str, int]]:
    """Texts and labels of Dutch and German reviews, tweets or editorials: without repetitions, in an order that the texts decide."""
    if name in UNTAUGHT:
        file = fetch("fr")["bol-nl.csv" if name == "nl" else "amazon-de.csv"]
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            rows = [(clean(text), int(polarity.strip() == "1")) for polarity, text in csv.reader(lines)]
    else:
        parts = (line.split("\t", 2) for line in fetch("en")[f"{name}.txt"].read_text(encoding="utf-8-sig", errors="replace").splitlines())
        rows = [(clean(text), int(float(rating) > 0)) for _, rating, text in parts if abs(float(rating)) >= MIN_RATING]
    unique = {normalise(text): (text, label) for text, label in rows if len(normalise(text)) >= 4}
    return [unique[key] for key in sorted(unique, key=stable_order)]


@cache
def test_set(name: str) -> tuple[list[str], list[int]]:
    """At most ``TESTED`` texts and their labels, half of them positive where there are enough.

    ``zh-validation`` are the validation texts of ``zh``; ``zh-traditional`` are the texts of ``zh``, changed;
    ``mixed-zh`` are those of the kit with English words, ``plain-zh`` the same without.
    """
    first, _, second = name.partition("-")
    if first in ("mixed", "plain"):
        written = [row for row in WRITTEN if row["language"] == second]
        return [row[first] for row in written], [int(row["label"] == "positive") for row in written]
    if second == "validation":
        held_out = table.taught(first)[0]["validation"]
        return list(held_out["text"]), list(held_out["label"])
    if second:
        texts, labels = test_set(first)
        return [CHANGES[second](text) for text in texts], labels
    rows = [] if name in TAUGHT or name in ("movie", "amazon") else collected(name)
    if not rows:
        test = table.taught(name if name in TAUGHT else "en")[0]["test"]
        rows = [(row["text"], row["label"]) for row in test if name in TAUGHT or row["source"] == name]
    if len(rows) > TESTED:
        rows = [row for label in (0, 1) for row in [row for row in rows if row[1] == label][: TESTED // 2]]
    return [text for text, _ in rows], [label for _, label in rows]
