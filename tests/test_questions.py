"""The questions are those that their generator composes, their spans are right, and their data card states their counts."""

import json
import re
import runpy
from collections import Counter
from pathlib import Path

import babel
import pytest
from babel.core import get_cldr_version

FOLDER = Path(__file__).parents[1] / "data" / "questions"
COMPOSE = runpy.run_path(str(FOLDER / "compose.py"))
SCORE = runpy.run_path(str(FOLDER / "score.py"))
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
ROWS = SCORE["read"]()
WRITTEN = [json.loads(line) for line in (FOLDER / "written.jsonl").read_text(encoding="utf-8").splitlines()]
TEMPLATES = COMPOSE["DATA"]["templates"]
LANGUAGES = ["zh", "en", "fr"]
FIELDS = "id passage language split context question answer_start answer_text answerable template kind".split()


@pytest.mark.skipif(babel.__version__ != "2.18.0", reason="the files were composed with Babel 2.18.0, CLDR 47")
def test_the_generator_gives_the_committed_files() -> None:
    assert COMPOSE["compose"]() == ROWS
    assert f"CLDR {get_cldr_version()}" in CARD


def test_fields_ids_and_size() -> None:
    assert all(sorted(row) == sorted(FIELDS) for row in ROWS) and all(list(row) == FIELDS for row in WRITTEN)
    assert len({row["id"] for row in ROWS + WRITTEN}) == len(ROWS + WRITTEN)
    assert all((FOLDER / name).stat().st_size < 1.5e6 for name in ("passages.jsonl", "questions.jsonl", "written.jsonl"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_card_states_the_counts(language: str) -> None:
    for split in ("train", "validation", "test", "transfer", "written"):
        rows = [row for row in (WRITTEN if split == "written" else ROWS) if row["language"] == language]
        rows = [row for row in rows if split in (row["split"], "written")]
        labels = Counter(row["answerable"] for row in rows)
        counts = [str(labels[label]) if split != "transfer" else "" for label in (True, False)]
        line = "| ".join(
            [f"| {split} ", f"{len({row['passage'] for row in rows})} ", f"{len(rows)} ", *(f"{n} " if n else "" for n in counts)]
        )
        assert line in CARD
        if split == "transfer":
            assert all(row["answerable"] is row["answer_start"] is row["answer_text"] is None for row in rows)
        else:
            assert 0.17 <= labels[False] / len(rows) <= 0.26


def test_the_card_states_the_templates_and_the_baselines() -> None:
    for split in ("train", "validation", "test"):
        part = [template for template in TEMPLATES if template["split"] == split]
        assert re.search(rf"\| {split} .*\| {len(part)} \| {sum(len(template['questions']) for template in part)} \|", CARD)
    assert "\n".join(SCORE["table"]()) in CARD


def test_spans_point_at_the_answer_and_texts_are_whole() -> None:
    for row in ROWS + WRITTEN:
        start, answer = row["answer_start"], row["answer_text"]
        assert (start is None) == (answer is None) == (not row["answerable"])
        assert answer is None or row["context"][start : start + len(answer)] == answer != ""
        assert not re.search(r"[{}\xa0\u202f’]|  |\.\.|^\s|\s$|,[^ \d]|None", row["context"] + row["question"]), row["id"]
        assert "\n" not in row["context"] or row["passage"] in {f"test-{number:03d}" for number in range(89, 101)}


def test_a_rival_of_the_kind_and_one_place_for_each_answer() -> None:
    for template in TEMPLATES:
        for slot, language in ((question["answer"], language) for question in template["questions"] for language in LANGUAGES):
            places = [number for number, block in enumerate(template["blocks"]) if f"{{{slot}}}" in block[language]]
            assert len(places) == 1 or places[0] == 0, (template["template"], slot)  # the first sentence is always told
    for row in ROWS:  # the kinds whose look is known: a second span in the passage
        pattern = {"share": r"\d ?%", "time": r"\d\d:\d\d", "date": r"\d月|\d [a-zéûA-Z]{3,9}\b"}.get(row["kind"])
        others = row["context"].replace(row["answer_text"] or "\0", "", 1)
        assert not pattern or re.search(pattern, others), row["id"]


def test_phrasing_and_texts_of_test_are_in_no_other_split() -> None:
    for language in LANGUAGES:
        texts = [text[language] for template in TEMPLATES for text in template["blocks"] + template["questions"]]
        texts += [aside[language] for part in COMPOSE["DATA"]["asides"].values() for aside in part]
        assert [text for text, count in Counter(texts).items() if count > 1] == []
    for field in ("context", "question"):
        bare = [(re.sub(r"[\d\s]", "", row[field].lower()), row["split"] == "test") for row in ROWS + WRITTEN]
        assert {text for text, test in bare if test}.isdisjoint(text for text, test in bare if not test)


def test_scores() -> None:
    cases = [("en", "The old mill.", "old mill", 1, 1), ("fr", "l'ancien moulin", "ancien moulin", 1, 1)]
    cases += [("zh", "3月5日", "3月6日", 0, 0.75), ("en", "in the old mill", "the old mill", 0, 0.8)]
    cases += [("en", None, None, 1, 1), ("en", None, "Oslo", 0, 0), ("fr", "Oslo", None, 0, 0)]
    for language, answer, truth, exact, f1 in cases:
        assert SCORE["exact_match"](answer, truth, language) == exact
        assert SCORE["f1"](answer, truth, language) == pytest.approx(f1)
