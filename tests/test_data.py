"""Splits that hold what the data card says, and keep what is tested out of what is trained on.

The splits of the real corpora are pinned in `reference/splits.json` and counted in `data/README.md`. After a change
on purpose write both anew with ``python -m tests.test_data``.
"""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from sklearn.feature_extraction.text import CountVectorizer

from kdlib.corpora import Review, load_corpus, normalise
from kdlib.data import SPLIT_SIZES, load_diagnostics, load_reviews, sample_spans, split_rows, to_dataset
from kdlib.errors import InputError

ROOT = Path(__file__).parent.parent
PINNED, CARD = ROOT / "tests" / "reference" / "splits.json", ROOT / "data" / "README.md"
BEGIN, END = "<!-- splits: written by tests/test_data.py -->\n", "<!-- end of splits -->\n"
LANGUAGES = ("zh", "en", "fr")
SPLITS = ("train", "validation", "test", "transfer")
HELD_OUT = ("validation", "test")


def digest(part: Dataset) -> str:
    """SHA-256 over the ids, texts and labels of a split, in its order."""
    rows = zip(part["id"], part["text"], part["label"], strict=True)
    return hashlib.sha256(json.dumps(list(rows), ensure_ascii=False).encode()).hexdigest()


def pins(corpora: dict[str, DatasetDict]) -> dict[str, dict[str, dict[str, Any]]]:
    """What `reference/splits.json` holds."""
    return {
        language: {name: {"rows": len(data[name]), "sha256": digest(data[name])} for name in SPLITS}
        for language, data in corpora.items()
    }


def card_table(corpora: dict[str, DatasetDict]) -> str:
    """The table of the data card: one line for every language, source and split."""
    lines = [
        "| language | source | split | negative | positive | unlabelled |",
        "|---|---|---|---:|---:|---:|",
    ]
    for language, data in corpora.items():
        for source in sorted(set(data["test"]["source"])):
            for name in SPLITS:
                pairs = zip(data[name]["source"], data[name]["label"], strict=True)
                count = Counter(label for part, label in pairs if part == source)
                lines.append(
                    f"| {language} | {source} | {name} | {count[0]:,} | {count[1]:,} | {count[-1]:,} |"
                )
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def real() -> dict[str, DatasetDict]:
    """The kit's three corpora, fetched the first time."""
    return {language: load_reviews(language) for language in LANGUAGES}


@pytest.fixture(scope="module")
def groups() -> dict[str, str]:
    """The document of every row of the three corpora, by id."""
    return {row["id"]: row["group"] for language in LANGUAGES for row in load_corpus(language)}


def keys(data: DatasetDict, *names: str) -> set[str]:
    """The normalised texts of these splits."""
    return {normalise(text) for name in names for text in data[name]["text"]}


# ---- the real splits -----------------------------------------------------------------------------


def test_the_splits_are_pinned(real: dict[str, DatasetDict]) -> None:
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))
    assert pins(real) == pinned, "the splits changed; if they should, run: python -m tests.test_data"


def test_the_card_counts_what_is_there(real: dict[str, DatasetDict]) -> None:
    assert BEGIN + card_table(real) + END in CARD.read_text(encoding="utf-8"), (
        "run: python -m tests.test_data"
    )


def test_the_order_does_not_depend_on_the_hash_seed(real: dict[str, DatasetDict], tmp_path: Path) -> None:
    code = (
        "from kdlib.data import load_reviews; from tests.test_data import SPLITS, digest; "
        "data = load_reviews('fr'); print(*[digest(data[name]) for name in SPLITS])"
    )
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [digest(real["fr"][name]) for name in SPLITS]


@pytest.mark.parametrize("language", LANGUAGES)
def test_columns_and_languages(real: dict[str, DatasetDict], language: str) -> None:
    for name in SPLITS:
        part = real[language][name]
        assert part.column_names == ["text", "label", "language", "source", "id"]
        assert part.features["label"].names == ["negative", "positive"]
        assert set(part["language"]) == {language}
        assert set(part["label"]) == ({-1} if name == "transfer" else {0, 1})
    ids = [row for name in SPLITS for row in real[language][name]["id"]]
    assert len(set(ids)) == len(ids)


def test_the_test_sets_are_large_enough_and_balanced(real: dict[str, DatasetDict]) -> None:
    """1,500 rows tell models three points apart; French has no more than 400 to spare."""
    for language in ("zh", "en"):
        assert len(real[language]["test"]) >= 1500
        for name in HELD_OUT:
            for source in SPLIT_SIZES[language]:
                part = real[language][name]
                labels = [
                    label for label, of in zip(part["label"], part["source"], strict=True) if of == source
                ]
                assert sum(labels) * 2 == len(labels) == SPLIT_SIZES[language][source][name]
    assert len(real["fr"]["test"]) >= 350
    shares = [np.mean(real["fr"][name]["label"]) for name in ("train", *HELD_OUT)]
    assert max(shares) - min(shares) < 0.01, "French keeps its own balance in every split"
    for language in LANGUAGES:
        assert abs(np.mean(real[language]["train"]["label"]) - 0.5) < 0.08


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_in_two_splits_or_twice_in_one(real: dict[str, DatasetDict], language: str) -> None:
    data = real[language]
    for one, other in combinations(SPLITS, 2):
        assert keys(data, one) & keys(data, other) == set()
    assert sum(len(keys(data, name)) for name in SPLITS) == sum(map(len, data.values()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_held_out_text_is_nearly_repeated(real: dict[str, DatasetDict], language: str) -> None:
    """No Jaccard similarity over 0.8 between the sets of 8 characters of a held-out text and any other text."""
    data = real[language]
    vectorizer = CountVectorizer(
        analyzer="char", ngram_range=(8, 8), lowercase=False, binary=True, dtype=np.int32
    )
    held_out, others = sorted(keys(data, *HELD_OUT)), sorted(keys(data, "train", "transfer"))
    vectorizer.fit(held_out)
    left, right = vectorizer.transform(held_out), vectorizer.transform(others)
    sizes = np.array([len({key[at : at + 8] for at in range(len(key) - 7)}) for key in others])
    shared = (left @ right.T).tocoo()
    union = np.asarray(left.sum(axis=1)).ravel()[shared.row] + sizes[shared.col] - shared.data
    assert shared.nnz > 0
    close = shared.data / union > 0.8
    pairs = [(held_out[i], others[j]) for i, j in zip(shared.row[close], shared.col[close], strict=True)]
    assert pairs == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_document_is_on_both_sides(
    real: dict[str, DatasetDict], groups: dict[str, str], language: str
) -> None:
    """Sentences of one Amazon review, items of one Chinese list: one held-out split, and no other split at all."""
    homes = defaultdict(set)
    for name in SPLITS:
        for row in real[language][name]["id"]:
            homes[groups[row.split("-span-")[0]]].add(name)
    assert len(homes) > 1000
    shared = [names for names in homes.values() if len(names) > 1]
    assert all(names == {"train", "transfer"} for names in shared)
    if language == "en":
        assert max(Counter(group for group in groups.values() if group.startswith("amazon-")).values()) > 10


def test_french_spans_come_from_training_reviews_only(real: dict[str, DatasetDict]) -> None:
    training = dict(zip(real["fr"]["train"]["id"], real["fr"]["train"]["text"], strict=True))
    spans = real["fr"]["transfer"]
    assert len(spans) == 8000
    for name, text in zip(spans["id"], spans["text"], strict=True):
        origin, number = name.split("-span-")
        assert number.isdigit()
        words = iter(training[origin].split())
        assert all(word in words for word in text.split()), (
            "words of the review in their order, some left out"
        )


def test_the_transfer_sets_of_chinese_and_english_are_whole_texts(
    real: dict[str, DatasetDict], groups: dict[str, str]
) -> None:
    for language in ("zh", "en"):
        transfer = real[language]["transfer"]
        assert len(transfer) >= 9000
        assert set(transfer["id"]) <= set(groups)


# ---- dealing rows to splits ----------------------------------------------------------------------


def make_rows(labels: Iterable[int], per_group: int = 1) -> list[Review]:
    """Made rows with these labels; ``per_group`` in turn belong together."""
    return [
        Review(
            text=f"This is text number {number}. It has a second sentence! Has it a third?",
            label=label,
            language="en",
            source="made",
            id=f"row-{number}",
            group=f"group-{number // per_group}",
        )
        for number, label in enumerate(labels)
    ]


def labels_of(rows: list[Review]) -> Counter[int]:
    """How many rows have each label."""
    return Counter(row["label"] for row in rows)


def test_splits_are_balanced_where_rows_are_plenty() -> None:
    splits = split_rows(make_rows([0] * 70 + [1] * 30), {"test": 20, "validation": 10, "train": 20})
    assert [labels_of(splits[name]) for name in ("test", "validation", "train")] == [
        {0: 10, 1: 10},
        {0: 5, 1: 5},
        {0: 10, 1: 10},
    ]
    assert labels_of(splits["transfer"]) == {-1: 50}
    ids = [row["id"] for name in splits for row in splits[name]]
    assert sorted(ids) == sorted(row["id"] for row in make_rows([0] * 100))


def test_splits_keep_the_tables_own_balance_where_all_rows_are_used() -> None:
    rows = make_rows([0, 0, 0, 1] * 50)
    splits = split_rows(rows, {"test": 40, "validation": 20, "train": 200})
    assert labels_of(splits["test"]) == {0: 30, 1: 10}
    assert labels_of(splits["validation"]) == {0: 15, 1: 5}
    assert labels_of(splits["train"]) == {0: 105, 1: 35}
    assert splits["transfer"] == []


def test_three_classes_are_dealt_by_their_own_shares() -> None:
    splits = split_rows(make_rows([0, 1, 1, 2, 2, 2] * 20), {"test": 24, "validation": 12, "train": 120}, 3)
    assert labels_of(splits["test"]) == {0: 4, 1: 8, 2: 12}
    assert labels_of(splits["validation"]) == {0: 2, 1: 4, 2: 6}


@pytest.mark.parametrize("per_group", [2, 3, 7])
def test_groups_stay_together(per_group: int) -> None:
    labels = random.Random(5).choices([-1, 0, 1], k=300)
    splits = split_rows(make_rows(labels, per_group), {"test": 40, "validation": 20, "train": 40})
    homes = defaultdict(set)
    for name, rows in splits.items():
        for row in rows:
            homes[row["group"]].add(name)
    assert all(len(names) == 1 or names == {"train", "transfer"} for names in homes.values())
    assert all(row["label"] == -1 for row in splits["transfer"])
    assert all(row["label"] >= 0 for name in ("test", "validation", "train") for row in splits[name])
    assert len(splits["test"]) > 30 and len(splits["train"]) > 30


def test_rows_without_labels_alone_cannot_be_split() -> None:
    with pytest.raises(InputError, match="no labelled row"):
        split_rows(make_rows([-1, -1]), {"test": 1})


# ---- spans ---------------------------------------------------------------------------------------


def test_spans_are_deterministic_and_depend_on_the_seed() -> None:
    rows = make_rows([0, 1] * 20)
    assert sample_spans(rows, 60, seed=3) == sample_spans(rows, 60, seed=3)
    assert sample_spans(rows, 60, seed=3) != sample_spans(rows, 60, seed=4)


def test_spans_are_new_unlabelled_texts_of_the_given_rows() -> None:
    rows = make_rows([0, 1] * 20)
    spans = sample_spans(rows, 100)
    assert len(spans) == 100
    texts = {row["id"]: row["text"] for row in rows}
    for span in spans:
        origin = iter(texts[span["id"].split("-span-")[0]].split())
        assert all(word in origin for word in span["text"].split())
        assert span["label"] == -1 and span["language"] == "en" and span["source"] == "made"
        assert len(normalise(span["text"])) >= 8
    assert len({span["id"] for span in spans}) == len({normalise(span["text"]) for span in spans}) == 100
    assert {normalise(span["text"]) for span in spans} & {normalise(text) for text in texts.values()} == set()


def test_a_tenth_of_the_words_is_left_out() -> None:
    (row,) = make_rows([0])
    row["text"] = " ".join(f"word{number}" for number in range(1000))
    (span,) = sample_spans([row], 1)
    assert 0.87 < len(span["text"].split()) / 1000 < 0.93
    assert sample_spans([row], 1, drop=0.0) == [], "with every word it would be the review itself"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "Bof ... Un prix de 3.5 euros ? Non ! Fini.",
            ["Bof ...", "Un prix de 3.5 euros ?", "Non !", "Fini."],
        ),
        ("房间很小。服务一般！！早餐呢？没有。", ["房间很小。", "服务一般！！", "早餐呢？", "没有。"]),
        ("Nul ! ! ! Vraiment nul...", ["Nul ! ! !", "Vraiment nul..."]),
    ],
)
def test_spans_are_runs_of_whole_sentences(text: str, sentences: list[str]) -> None:
    (row,) = make_rows([0])
    row["text"] = text
    runs = [sentences[start:end] for start in range(len(sentences)) for end in range(start + 1, start + 5)]
    possible = {normalise("".join(run)) for run in runs} - {normalise(text)}
    spans = {normalise(span["text"]) for span in sample_spans([row], 50, drop=0.0)}
    assert spans == {run for run in possible if len(run) >= 8}


def test_rows_too_short_for_a_span_give_none() -> None:
    (row,) = make_rows([0])
    row["text"] = "Non. Oui."
    assert sample_spans([row], 5) == []


# ---- the reader's own table ----------------------------------------------------------------------


def write_csv(path: Path, count: int = 200, columns: str = "text,label,language", suffix: str = "") -> Path:
    """A table of two classes in turn, with two sentences a text."""
    lines = [
        f"First sentence of review {number}. The second is here.,{('bad', 'good')[number % 2]},en{suffix}"
        for number in range(count)
    ]
    path.write_text("\n".join([columns, *lines]), encoding="utf-8")
    return path


def test_an_own_table_is_split_70_10_20(tmp_path: Path) -> None:
    data = load_reviews(write_csv(tmp_path / "own.csv"))
    assert [len(data[name]) for name in ("train", "validation", "test")] == [140, 20, 40]
    for name in ("train", "validation", "test"):
        assert sum(data[name]["label"]) * 2 == len(data[name])
        assert data[name].features["label"].names == ["bad", "good"]
    assert set(data["transfer"]["label"]) == {-1} and len(data["transfer"]) > 140
    training = set(data["train"]["id"])
    assert {name.split("-span-")[0] for name in data["transfer"]["id"]} <= training
    assert keys(data, "train", "transfer") & keys(data, *HELD_OUT) == set()


def test_the_split_is_the_seeds(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "own.csv")
    tests = [load_reviews(path, seed=seed)["test"]["id"][:] for seed in (0, 0, 1)]
    assert tests[0] == tests[1]
    assert set(tests[0]) != set(tests[2]), "other rows, not the same ones in another order"


def test_the_split_does_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "own.csv")
    before = set(load_reviews(path)["test"]["text"])
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *reversed(lines)]), encoding="utf-8")
    assert set(load_reviews(path)["test"]["text"]) == before


@pytest.mark.parametrize("count", range(16, 24))
def test_the_smallest_tables_still_fill_every_split(tmp_path: Path, count: int) -> None:
    data = load_reviews(write_csv(tmp_path / "own.csv", count))
    for name in ("train", "validation", "test"):
        assert set(data[name]["label"]) == {0, 1}


def test_near_duplicates_of_an_own_table_stay_once(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "own.csv", 100)
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text(
        "\n".join(
            [
                header,
                *lines,
                *[
                    line.upper().replace("BAD", "bad").replace("GOOD", "good").replace("EN", "en")
                    for line in lines
                ],
            ]
        ),
        encoding="utf-8",
    )
    data = load_reviews(path)
    assert sum(len(data[name]) for name in ("train", "validation", "test")) == 100
    assert not any(text.isupper() for name in SPLITS for text in data[name]["text"]), "the first is kept"


def test_a_table_of_little_but_duplicates_is_one_sentence(tmp_path: Path) -> None:
    lines = ["text,label,language", *[f"Good {'!' * number},good,en" for number in range(20)]]
    lines += [f"Bad number {number},bad,en" for number in range(20)]
    (tmp_path / "own.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"^Only 1 different texts of class 'good' .* at least 8 of each class\.$"
    ):
        load_reviews(tmp_path / "own.csv")


def test_own_transfer_texts_are_used_without_held_out_ones(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "own.csv")
    held_out = load_reviews(path)["test"]["text"][:3]
    (tmp_path / "more.txt").write_text(
        "\n".join(["Something new.", *[text.upper() for text in held_out], "Also new."]), encoding="utf-8"
    )
    transfer = load_reviews(path, transfer=tmp_path / "more.txt")["transfer"]
    assert sorted(transfer["text"]) == ["Also new.", "Something new."]
    assert set(transfer["label"]) == {-1} and set(transfer["language"]) == {"en"}


@pytest.mark.parametrize("header", ["remarks,review", "review", "text"])
def test_a_chosen_text_column_is_taken_from_the_transfer_file_too_where_it_has_it(header: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "own.csv", columns="remarks,label,language")
    (tmp_path / "more.csv").write_text(f"{header}\nSomething new.{',Another column.' * header.count(',')}\n", encoding="utf-8")
    data = load_reviews(path, transfer=tmp_path / "more.csv", text_column="remarks")
    assert data["transfer"]["text"][:] == ["Something new."]


def test_a_black_box_teachers_table_gets_no_spans(tmp_path: Path) -> None:
    """Its probabilities belong to whole texts; nobody can ask it about a part."""
    path = write_csv(tmp_path / "own.csv", columns="text,label,language,p_bad,p_good", suffix=",0.25,0.75")
    data = load_reviews(path)
    assert len(data["transfer"]) == 0
    np.testing.assert_allclose(data["train"]["teacher_logits"][:], [np.log([0.25, 0.75])] * 140, rtol=1e-6)


def test_a_corpus_of_the_kit_takes_own_transfer_texts_too(
    real: dict[str, DatasetDict], tmp_path: Path
) -> None:
    (tmp_path / "more.txt").write_text(
        f"Un texte à moi.\n{real['fr']['test'][0]['text']}\n", encoding="utf-8"
    )
    data = load_reviews("fr", transfer=tmp_path / "more.txt")
    assert data["transfer"]["text"][:] == ["Un texte à moi."]
    assert digest(data["test"]) == digest(real["fr"]["test"])


def test_a_dataset_without_rows_keeps_its_columns() -> None:
    part = to_dataset([], ["negative", "positive"])
    assert len(part) == 0 and part.column_names == ["text", "label", "language", "source", "id"]


# ---- the diagnostic texts ------------------------------------------------------------------------


def test_diagnostics_have_three_labels_and_their_phenomena() -> None:
    for language in LANGUAGES:
        texts = load_diagnostics(language)
        assert texts is not None and set(texts["language"]) == {language}
        assert texts.features["label"].names == ["negative", "positive", "mixed"]
        assert {"text", "id", "source", "phenomenon", "domain"} < set(texts.column_names)
    french = load_diagnostics("fr")
    assert french is not None
    lines = (ROOT / "data" / "diagnostics" / "reviews.jsonl").read_text(encoding="utf-8").splitlines()
    labels = {row["id"]: row["label"] for row in map(json.loads, lines) if row["language"] == "fr"}
    names = french.features["label"].names
    assert {name: names[label] for name, label in zip(french["id"], french["label"], strict=True)} == labels
    assert load_diagnostics("de") is None


if __name__ == "__main__":
    corpora = {language: load_reviews(language) for language in LANGUAGES}
    PINNED.write_text(json.dumps(pins(corpora), indent=1) + "\n", encoding="utf-8")
    table = BEGIN + card_table(corpora) + END
    card = re.sub(f"{BEGIN}.*{END}", table, CARD.read_text(encoding="utf-8"), flags=re.DOTALL)
    CARD.write_text(card, encoding="utf-8")
