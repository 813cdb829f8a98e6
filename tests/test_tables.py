"""The reader's own tables: the same rows from every format, one helpful sentence for every fault."""

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdlib.errors import InputError
from kdlib.tables import MIN_ROWS_PER_CLASS, read_table

N = MIN_ROWS_PER_CLASS


def rows(count: int = 2 * N, **columns: Any) -> list[dict[str, Any]]:
    """Valid rows of two classes in turn; a column that is given replaces or adds one, cell by cell."""
    made = {
        "text": [f"text {i}" for i in range(count)],
        "label": [("neg", "pos")[i % 2] for i in range(count)],
        "language": ["en"] * count,
    } | columns
    return [dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]


def write_csv(path: Path, records: list[dict[str, Any]], delimiter: str = ",", **options: Any) -> Path:
    encoding = options.pop("encoding", "utf-8")
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, records[0], delimiter=delimiter, **options)
        writer.writeheader()
        writer.writerows(records)
    return path


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records), encoding="utf-8")
    return path


def fails(source: Any, *parts: str, **options: Any) -> str:
    """The message of the InputError, which holds every part and is one sentence on one line."""
    with pytest.raises(InputError) as caught:
        read_table(source, **options)
    message = str(caught.value)
    for part in parts:
        assert part in message, message
    assert message.endswith(".") and "\n" not in message
    return message


# ---- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["csv", "tsv", "semicolon.csv", "pipe.csv", "jsonl", "json", "parquet", "Dataset"]
)
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    texts = [f'a, b; c\t| "d" é 好\nline {i}' for i in range(2 * N)]
    records, path = rows(text=texts), tmp_path / f"reviews.{kind}"
    if kind in ("jsonl", "json"):
        write_jsonl(path, records)
    elif kind == "parquet":
        pd.DataFrame(records).to_parquet(path)
    elif kind != "Dataset":
        write_csv(path, records, {"tsv": "\t", "semicolon.csv": ";", "pipe.csv": "|"}.get(kind, ","))
    table = read_table(Dataset.from_list(records) if kind == "Dataset" else path)
    assert table["text"][:] == texts
    assert table.features["label"] == ClassLabel(names=["neg", "pos"])
    assert table["label"][:] == [i % 2 for i in range(2 * N)]
    assert set(table["language"]) == {"en"}
    stem = "Dataset" if kind == "Dataset" else path.stem
    assert table["id"][:] == [f"{stem}-{i}" for i in range(1, 2 * N + 1)]
    assert set(table["source"]) == {stem}
    assert table.column_names == ["text", "label", "language", "source", "id"]


def test_reading_twice_gives_the_same_fingerprint(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows())
    assert read_table(str(path))._fingerprint == read_table(path)._fingerprint


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows(), encoding="utf-8-sig", lineterminator="\r\n")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") and b"\r\n" in path.read_bytes()
    assert read_table(path)["text"][:] == [row["text"] for row in rows()]


def test_line_ends_inside_quotes_stay_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    texts = ["one\r\ntwo\n\nthree"] + [f"t{i}" for i in range(2 * N - 1)]
    path = write_csv(tmp_path / "a.csv", rows(text=texts))
    path.write_bytes(b"\r\n" + path.read_bytes() + b"\r\n\r\n")
    assert read_table(path)["text"][:] == texts


def test_words_that_pandas_takes_for_missing_stay_texts(tmp_path: Path) -> None:
    texts = ["NA", "null", "nan", "None", "1", "2024-01-01", "True", "-"] * (N // 4)
    assert read_table(write_csv(tmp_path / "a.csv", rows(text=texts)))["text"][:] == texts
    assert read_table(write_jsonl(tmp_path / "a.jsonl", rows(text=texts)))["text"][:] == texts


unicode_texts = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip()),
    min_size=2 * N,
    max_size=2 * N,
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=unicode_texts)
def test_any_unicode_text_survives(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("unicode")
    assert read_table(write_csv(folder / "a.csv", rows(text=texts)))["text"][:] == texts
    assert read_table(write_jsonl(folder / "a.jsonl", rows(text=texts)))["text"][:] == texts


def test_a_folder_gives_the_language_by_file_name(tmp_path: Path) -> None:
    without = [{key: row[key] for key in ("text", "label")} for row in rows()]
    write_csv(tmp_path / "en.csv", without)
    write_jsonl(tmp_path / "fr.jsonl", without)
    (tmp_path / ".hidden.csv").write_text("x")
    (tmp_path / "README.md").write_text("not a table")
    table = read_table(tmp_path)
    assert table["language"][:] == ["en"] * 2 * N + ["fr"] * 2 * N
    assert table["id"][0] == "en-1" and table["id"][-1] == f"fr-{2 * N}"


def test_files_that_share_ids_get_the_stem_in_front(tmp_path: Path) -> None:
    for name in ("en.csv", "fr.csv"):
        write_csv(tmp_path / name, rows(id=range(2 * N)))
    table = read_table(tmp_path)
    assert len(set(table["id"])) == 4 * N and table["id"][0] == "en-0" and table["id"][2 * N] == "fr-0"
    (tmp_path / "fr.csv").rename(tmp_path / "en.tsv")
    fails(tmp_path, "en.tsv", "duplicate")


def test_splits_are_joined() -> None:
    splits = DatasetDict({"train": Dataset.from_list(rows()), "test": Dataset.from_list(rows())})
    table = read_table(splits)
    assert len(table) == 4 * N and table["id"][0] == "train-1" and table["id"][-1] == f"test-{2 * N}"
    bad = rows(label=[""] + ["neg", "pos"] * (N - 1) + ["neg"])
    fails(
        DatasetDict({"train": splits["train"], "test": Dataset.from_list(bad)}), "DatasetDict/test", "row 1;"
    )


def test_a_selected_dataset_is_read_in_its_order_and_images_are_left_alone() -> None:
    data = Dataset.from_list(rows(label=[0, 1] * N, image=[{"bytes": b"broken", "path": None}] * 2 * N))
    data = (
        data.cast_column("image", Image())
        .select(range(2 * N - 1, -1, -1))
        .with_transform(lambda batch: {"text": batch["image"]})
    )
    assert read_table(data).features["label"].names == ["0", "1"]
    assert read_table(data)["text"][:] == [f"text {i}" for i in range(2 * N - 1, -1, -1)]


def test_hub_ids_go_through_load_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(*args: Any, **options: Any) -> DatasetDict:
        asked.append((args, options))
        return DatasetDict({"train": Dataset.from_list(rows())})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(read_table("owner/name")) == len(read_table("name")) == 2 * N
    assert asked == [(("owner/name",), {}), (("name",), {})]  # no trust_remote_code, nothing but the id

    def unreachable(name: str) -> DatasetDict:
        raise ConnectionError("no hub\nhere")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    fails("owner/name", "owner/name", "no hub", "give an id or path")
    assert not fails("reviews.csv", "no such file").count("hub")


# ---- columns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("Review", "Sentiment", "Lang", "UID"),
        ("texte", "Étiquette", "Langue", "identifiant"),
        ("评论", "标签", "语言", "编号"),
        ("REVIEW TEXT ", "class", " language", "review_id"),
    ],
)
def test_columns_are_guessed(tmp_path: Path, names: tuple[str, str, str, str]) -> None:
    records = [
        dict(zip(names, [row["text"], row["label"], "FR", f"k{i}"], strict=True)) | {"other": "x"}
        for i, row in enumerate(rows())
    ]
    table = read_table(write_csv(tmp_path / "a.csv", records))
    assert table["text"][0] == "text 0" and table["label"][:2] == [0, 1]
    assert table["id"][3] == "k3" and set(table["language"]) == {"fr"}


def test_explicit_columns_go_before_guesses(tmp_path: Path) -> None:
    records = rows(title=[f"title {i}" for i in range(2 * N)], stars=["one", "two"] * N, lng=["fr"] * 2 * N)
    path = write_csv(tmp_path / "a.csv", [row | {"key": f"k{i}"} for i, row in enumerate(records)])
    table = read_table(path, "title", "stars", "lng", "key", language="de")
    assert table["text"][1] == "title 1" and table.features["label"].names == ["one", "two"]
    assert table["language"][0] == "fr" and table["id"][1] == "k1"
    assert set(read_table(path, language="de")["language"]) == {"de"}  # a guess does not


def test_the_source_column_is_kept() -> None:
    assert set(read_table(Dataset.from_list(rows(source=["shop"] * 2 * N)))["source"]) == {"shop"}


def test_column_errors(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows(review=["x"] * 2 * N, note=["y"] * 2 * N))
    fails(path, "a.csv", "'text', 'review'", "--text-column", "'note'")
    fails(path, "a.csv", "'nope'", "--text-column", "'text', 'label', 'language'", text_column="nope")
    fails(path, "a.csv", "'nope'", "--id-column", text_column="text", id_column="nope")
    path = write_csv(tmp_path / "b.csv", [{"foo": "x", "bar": "y"}] * 9)
    fails(path, "b.csv", "'text'", "text_column", "--text-column", "'foo', 'bar'")
    fails(path, "b.csv", "'label'", "label_column", "'foo', 'bar'", text_column="foo")
    fails(path, "b.csv", "--language)", "--language-column", text_column="foo", label_column="bar")
    path.write_text("text,text,label\na,b,c\n")
    fails(path, "b.csv", "'text', 'text'", "rename")


# ---- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels, names",
    [
        (["b", "a", "c"], ["a", "b", "c"]),
        ([10, 9, -1], ["-1", "9", "10"]),
        (["10", "9", "2"], ["2", "9", "10"]),
        ([True, False], ["False", "True"]),
        ([" pos", "neg "], ["neg", "pos"]),
        (["1.5", "good"], ["1.5", "good"]),
        (["None", "NA"], ["NA", "None"]),
    ],
)
def test_label_names(tmp_path: Path, labels: list[Any], names: list[str]) -> None:
    column = labels * N
    records = rows(len(column), label=column)
    expected = [str(label).strip() for label in column]
    for source in (Dataset.from_list(records), write_csv(tmp_path / "a.csv", records)):
        table = read_table(source)
        assert table.features["label"].names == names
        assert table.features["label"].int2str(table["label"][:]) == expected


def test_a_class_label_keeps_its_names_and_order(tmp_path: Path) -> None:
    features = Features(
        text=Value("string"), label=ClassLabel(names=["up", "down"]), language=Value("string")
    )
    data = Dataset.from_list(rows(label=[0, 1] * N), features=features)
    data.to_parquet(tmp_path / "a.parquet")
    for source in (data, tmp_path / "a.parquet"):
        table = read_table(source)
        assert table.features["label"].names == ["up", "down"] and table["label"][:3] == [0, 1, 0]
    table = read_table(data, label_names=["down", "up"])
    assert table["label"][:3] == [1, 0, 1]
    fails(
        Dataset.from_list(rows(label=[0, 1] * (N - 1) + [-1, None]), features=features), f"rows {2 * N - 1}"
    )


def test_label_names_give_the_order_or_name_the_positions(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows())
    assert read_table(path, label_names=("pos", "neg"))["label"][:2] == [1, 0]
    fails(path, "a.csv", "'neg', 'pos'", "label_names ['n', 'p']", "rename", label_names=["n", "p"])
    fails(path, "label_names", "different", label_names=["neg"])
    fails(path, "label_names", "different", label_names=["neg", "neg"])
    numbers = write_csv(tmp_path / "b.csv", rows(label=[0, 1] * N))
    table = read_table(numbers, label_names=["negative", "positive"])
    assert table.features["label"].names == ["negative", "positive"] and table["label"][:2] == [0, 1]
    fails(write_csv(tmp_path / "c.csv", rows(label=[1, 2] * N)), "'2'", label_names=["negative", "positive"])
    halves = write_csv(tmp_path / "d.csv", rows(label=["0.5", "1.0"] * N))
    assert read_table(halves, label_names=["0.5", "1.0"])["label"][:2] == [0, 1]


def test_label_errors(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows(label=["pos"] * 2 * N))
    fails(path, "a.csv", "one class", "'pos'", "label_column")
    assert N == 8
    path = write_csv(tmp_path / "b.csv", rows(2 * N - 1))
    fails(path, "b.csv", f"fewer than {N} rows", "'pos'", "add or merge")
    path = write_csv(tmp_path / "c.csv", rows(label=["pos", "", "neg", "nan"] * (N // 2)))
    fails(path, "c.csv", "label is missing", "rows 2, 4, 6, 8, 10, and 3 more", "labelled=False")
    fails(write_jsonl(tmp_path / "c.jsonl", rows(label=[None, *[1, 0] * (N - 1), 1])), "c.jsonl", "row 1;")


@pytest.mark.parametrize(
    "labels", [[0.0, 1.0], [0.5, 1], ["1.0", "2.0"], ["0,5", "1"], ["1E-3", ".5"], [",5", "1"]]
)
def test_decimal_labels_are_refused(tmp_path: Path, labels: list[Any]) -> None:
    path = write_csv(tmp_path / "a.csv", rows(label=labels * N))
    fails(path, "a.csv", "decimal", "row", "round")


def test_integers_with_a_gap_are_a_missing_label_not_decimals(tmp_path: Path) -> None:
    labels = [0, 1, None, *[0, 1] * N]  # pandas makes such a column 0.0, 1.0, NaN
    records = rows(len(labels), label=labels)
    pd.DataFrame(records).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame(records).to_parquet(tmp_path / "a.parquet")
    assert "1.0" in (tmp_path / "a.csv").read_text()
    for path in (tmp_path / "a.csv", tmp_path / "a.parquet"):
        fails(path, path.name, "label is missing", "row 3;")


def test_unlabelled_texts(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [{"text": "bon, mais cher"}, {"text": "nul"}])
    table = read_table(path, language="fr", labelled=False)
    assert table["text"][:] == ["bon, mais cher", "nul"] and table["label"][:] == [-1, -1]
    path = write_csv(tmp_path / "b.csv", rows())
    assert set(read_table(path, labelled=False)["label"]) == {-1}
    named = read_table(path, labelled=False, label_names=["neg", "pos"])
    assert named.features == read_table(path).features


def test_a_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "fr.txt"
    path.write_bytes("\ufeffune\r\n\r\n  deux\u2028mots \nœil".encode())
    table = read_table(path, language="fr", labelled=False)
    assert table["text"][:] == ["une", "  deux\u2028mots ", "œil"]
    assert set(read_table(tmp_path, labelled=False)["language"]) == {"fr"}
    fails(path, "fr.txt", ".csv", "save it", language="fr")
    fails(tmp_path, tmp_path.name, "empty", "en.csv")


# ---- rows ----------------------------------------------------------------------------------------


def test_text_errors(tmp_path: Path) -> None:
    texts: list[Any] = ["fine"] * 2 * N
    texts[2:10:2] = ["", "  \n", "\u3000", "\t"]
    path = write_csv(tmp_path / "a.csv", rows(text=texts))
    fails(path, "a.csv", "text is empty", "rows 3, 5, 7, 9;", "remove", "text_column")
    path = write_jsonl(
        tmp_path / "a.jsonl", rows(text=["ok", 1, None, 2.5, True, ["x"], {}, float("nan")] * 2)
    )
    fails(path, "a.jsonl", "not text", "rows 2, 3, 4, 5, 6, and 9 more")
    fails(Dataset.from_list(rows(text=range(2 * N))), "Dataset", "not text", "rows 1, 2")
    records = rows()
    del records[4]["text"]
    fails(write_jsonl(tmp_path / "b.jsonl", records), "b.jsonl", "row 5;")


def test_id_errors(tmp_path: Path) -> None:
    ids = [str(i) for i in range(2 * N)]
    ids[3], ids[5] = "0", ""
    fails(write_csv(tmp_path / "a.csv", rows(id=ids)), "a.csv", "id", "duplicate", "rows 4, 6;", "id_column")


@pytest.mark.parametrize(
    "language, hint",
    [
        ("english", "write en"),
        ("French", "write fr"),
        ("Chinese", "write zh"),
        ("zh-CN", "write zh"),
        ("pt_BR", "write pt"),
        ("xx", "ISO 639-1"),
        ("eng", "ISO 639-1"),
        ("ast", "ISO 639-1"),
        ("", "ISO 639-1"),
    ],
)
def test_unknown_languages(tmp_path: Path, language: str, hint: str) -> None:
    path = write_csv(tmp_path / "a.csv", rows(language=["en"] * (2 * N - 1) + [language]))
    fails(path, "a.csv", "unknown language", repr(language.lower()), f"row {2 * N};", hint)
    if language:
        fails(path, "a.csv", "unknown language", repr(language.lower()), hint, language=language)


def test_language_codes_are_read_in_any_case_and_files_must_be_named_by_one(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "train.csv", rows(language=[" EN", "en"] * N))
    assert set(read_table(path)["language"]) == {"en"}
    fails(tmp_path, "train.csv", "unknown language 'train'", "two-letter")
    assert set(read_table(tmp_path, language="fr")["language"]) == {"fr"}


# ---- files ---------------------------------------------------------------------------------------


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    fails(tmp_path / "no.csv", "no.csv", "no such file", "check the path")
    fails(str(tmp_path / "no folder" / "no"), "no such file")
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    fails(tmp_path / "a.xlsx", "a.xlsx", ".csv", ".parquet", "save it")
    (tmp_path / "a.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    fails(tmp_path / "a.pkl", "a.pkl", "save it")
    (tmp_path / "a.parquet").write_bytes(b"not parquet at all")
    fails(tmp_path / "a.parquet", "a.parquet", "Parquet", "write it again")


@pytest.mark.parametrize(
    "name, content", [("a.csv", ""), ("a.csv", "\ufeff \n"), ("a.csv", "text,label\n"), ("a.jsonl", "\n")]
)
def test_empty_files(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    fails(path, name, "empty", "give rows")


def test_empty_datasets(tmp_path: Path) -> None:
    fails(Dataset.from_dict({"text": [], "label": []}), "Dataset", "empty")
    fails(DatasetDict(), "empty")
    fails(tmp_path, tmp_path.name, "empty", "en.csv")


@pytest.mark.parametrize(
    "encoding, text",
    [
        ("cp1252", "une fin répétitive, dommage"),
        ("gb18030", "这本书非常好看"),
        ("utf-16", "plain"),
        ("big5", "這本書非常好看"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, encoding: str, text: str) -> None:
    path = write_csv(tmp_path / "a.csv", rows(text=[text] * 2 * N), encoding=encoding)
    fails(path, "a.csv", "not UTF-8", encoding.replace("-", "_"), "convert it", "-t UTF-8")


def test_delimiter_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text^label\nbon^pos\n", encoding="utf-8")
    fails(path, "a.csv", "unknown delimiter", "text^label", "tab")
    path.write_text("text,label\nbon,pos\nbon, mais cher,neg\n", encoding="utf-8")
    fails(path, "a.csv", "row 2 has 3 fields", "','", "quote")
    path.write_text("text,label\nbon,pos\nnul\n", encoding="utf-8")
    fails(path, "a.csv", "row 2 has 1 fields", "quote")
    path.write_text('text,label\n"a\nb",pos\n"never closed,neg\n', encoding="utf-8")
    fails(path, "a.csv", "row 2", "unexpected end", "quotes")
    path.write_text('text,label\n"so "good" it is",pos\n', encoding="utf-8")
    fails(path, "a.csv", "row 1", "quotes")


def test_the_header_decides_the_delimiter_and_not_the_texts(tmp_path: Path) -> None:
    records = [{" text, or review": row["text"] + ", a, b | c", "label": row["label"]} for row in rows()]
    path = write_csv(tmp_path / "a.csv", records, ";", quoting=csv.QUOTE_ALL)
    assert read_table(path, "text, or review", language="en")["text"][0] == "text 0, a, b | c"


def test_a_header_may_have_line_ends_inside_quotes_and_must_close_them(tmp_path: Path) -> None:
    records = [{"label": row["label"], "text\n(in your words)": row["text"]} for row in rows()]
    path = write_csv(tmp_path / "a.csv", records)
    assert read_table(path, "text\n(in your words)", language="en")["text"][:] == [row["text"] for row in rows()]
    path.write_text('text,"label\nbon,pos\n', encoding="utf-8")
    fails(path, "a.csv", "header", "unexpected end", "close quotes")


@pytest.mark.parametrize("line", ["[1, 2]", "{", '"text"', "null", '{"text": "\\ud800"}', "[" * 100_000])
def test_json_errors(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "bon"}\n\n' + line, encoding="utf-8")
    fails(path, "a.jsonl", "line 3", "JSON object", "one a line")


# ---- a teacher's probabilities -------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["p_", "Prob_", "teacher_"])
def test_probability_columns_come_back_through_softmax(tmp_path: Path, prefix: str) -> None:
    p = np.random.default_rng(0).dirichlet([0.5, 0.5, 0.5], size=3 * N)
    p[0], p[1] = [1, 0, 0], [0.3335, 0.3335, 0.3335]  # certain; and rounded, 1.0005 in all
    labels = ["very bad", "neutral", "good"] * N
    columns = {f"{prefix}{name}": p[:, i] for i, name in enumerate(["good", "neutral", "very bad"])}
    records = rows(3 * N, label=labels, **columns, p_value=["x"] * 3 * N)
    for source in (write_csv(tmp_path / "a.csv", records), Dataset.from_list(records)):
        table = read_table(source)
        assert table.features["label"].names == ["good", "neutral", "very bad"]
        logits = np.array(table["teacher_logits"][:])
        softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(softmax, p / p.sum(1, keepdims=True), atol=3e-6)
    unlabelled = read_table(source, labelled=False, label_names=["good", "neutral", "very bad"])
    assert unlabelled["teacher_logits"][:] == table["teacher_logits"][:]
    assert "teacher_logits" not in read_table(Dataset.from_list(records), labelled=False).column_names


def test_probability_errors(tmp_path: Path) -> None:
    good = [0.25] * 2 * N
    for bad in (0.748, 0.752, 1.5, -0.25, None, "a lot", float("nan"), "25%"):
        column = [0.75] * 2 * N
        records = rows(p_neg=good, p_pos=[*column[:5], bad, *column[6:]])
        fails(
            write_csv(tmp_path / "a.csv", records),
            "a.csv",
            "'p_neg', 'p_pos'",
            "add up to 1",
            "row 6;",
            "each class",
        )
        fails(write_jsonl(tmp_path / "a.jsonl", records), "a.jsonl", "row 6;")
    records = rows(p_neg=[-0.25] * 2 * N, p_pos=[1.25] * 2 * N)
    fails(write_csv(tmp_path / "a.csv", records), "rows 1, 2")
    fails(write_csv(tmp_path / "b.csv", rows(p_neg=good)), "b.csv", "'p_pos'", "each class")
    write_csv(tmp_path / "en.csv", rows(p_neg=good, p_pos=[0.75] * 2 * N))
    write_csv(tmp_path / "fr.csv", rows())
    for name in ("a.csv", "a.jsonl", "b.csv"):
        (tmp_path / name).unlink()
    fails(tmp_path, "fr.csv", "'p_neg'", "each class")
