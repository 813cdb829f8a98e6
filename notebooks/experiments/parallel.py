"""Parallel text: what programs say in English and in other languages, out of the compiled catalogues that gettext reads."""

import re
from functools import cache
from pathlib import Path

import polib

from kdlib.corpora import normalise, stable_order
from kdlib.sources import fetch

SOURCES = ("gramps", "wagtail", "pretix")  # of data/sources.toml
NOT_TEXT = re.compile(r"[%{}<>_|\n]")  # placeholders, mark-up, keys


def read_catalogue(file: Path) -> dict[str, str]:
    """``{English: translation}`` of one ``.mo`` file; of messages with a plural the singular, without their context."""
    return {entry.msgid: entry.msgstr or entry.msgstr_plural.get(0, "") for entry in polib.mofile(str(file)) if entry.msgid}


@cache
def catalogue(source: str, language: str) -> dict[str, str]:
    """All messages of a program in one language."""
    files = [path for name, path in fetch(source).items() if name.endswith(f"-{language}.mo")]
    return {english: text for file in files for english, text in read_catalogue(file).items()}


def parallel(*languages: str, words: int = 3, plain: bool = True) -> list[dict[str, str]]:
    """Messages of three English words or more that exist in all of these languages: rows with ``en``, ``zh``, …, and ``source``.

    Without repetitions, in an order that depends on the English alone. ``plain`` leaves out messages with placeholders or mark-up.
    """
    rows: dict[str, dict[str, str]] = {}
    for source in SOURCES:
        texts = {language: catalogue(source, language) for language in languages}
        for english in texts[languages[0]]:
            row = {"en": english, **{language: texts[language].get(english, "") for language in languages}}
            long_enough = len(english.split()) >= words and all(text.strip() for text in row.values())
            if long_enough and not (plain and NOT_TEXT.search("".join(row.values()))):
                rows.setdefault(normalise(english), {**{code: " ".join(text.split()) for code, text in row.items()}, "source": source})
    return [rows[key] for key in sorted(rows, key=stable_order)]
