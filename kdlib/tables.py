"""The reader's own table: CSV, TSV, JSON lines, Parquet, a folder, a Dataset or a hub id as one flat Dataset.

Files are only parsed, never executed or unpickled. Every complaint is an `InputError` of one sentence; the
rows that it names are counted from 1 without the header, each file or split on its own.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow.parquet
from charset_normalizer import from_bytes
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from .errors import InputError

MIN_ROWS_PER_CLASS = 8
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
TEACHER_PREFIXES = ("p_", "prob_", "teacher_")
COLUMN_NAMES = {
    "text": "text review review_text review_body sentence content comment body texte avis 文本 评论 内容",
    "label": "label sentiment class category rating étiquette etiquette classe catégorie 标签 类别 情感",
    "language": "language lang langue 语言",
    "id": "id uid review_id identifiant 编号",
    "source": "source",
}


def read_table(
    source: str | Path | Dataset | DatasetDict,
    text_column: str | None = None,
    label_column: str | None = None,
    language_column: str | None = None,
    id_column: str | None = None,
    language: str | None = None,
    labelled: bool = True,
    label_names: list[str] | tuple[str, ...] | None = None,
) -> Dataset:
    """Read a table of texts into a Dataset with the columns text, label, language, source and id.

    Args:
        source: a .csv, .tsv, .jsonl, .json (an object a line) or .parquet file in UTF-8; a folder with a file
            per language (en.csv, fr.jsonl: the name is the language); a Dataset; a DatasetDict, whose splits
            are joined; or, where no such path exists, the id of a dataset on the hub. With `labelled=False`
            also a .txt file with a text a line, blank lines skipped.
        text_column, label_column, language_column, id_column: where None, guessed by the usual English,
            French and Chinese names in any case. Without an id column ids are "<stem>-<row>", the stem
            being the name of the file or split; ids that several of them share get "<stem>-" in front.
        language: the ISO 639-1 code of all texts; only a `language_column` that is given goes before it.
        labelled: False for transfer texts: labels are not read, `label` is -1.
        label_names: the classes in the order wanted. The table's labels must be among them, or be integers
            from 0, which are then positions in them. Where None, a ClassLabel keeps its names and other
            labels become strings, sorted (integers by their value).

    A column "source" is kept, else the stem stands there. Where the table has a column per class named
    p_<class>, prob_<class> or teacher_<class>, these are a teacher's probabilities p (in [0, 1], adding up to
    1 within 1e-3), and the result has a column `teacher_logits` of length K, log(max(p, 1e-6)): its softmax
    gives p back. With `labelled=False` this needs `label_names`.

    Raises:
        InputError: a file that is missing, empty, not UTF-8 or cannot be parsed; columns that are missing or
            ambiguous; texts, labels, languages, ids or probabilities that are missing or unusable; fewer
            than two classes, or a class with fewer than 8 rows.
    """
    names = list(label_names or ())
    _require(len(names) != 1 and len(set(names)) == len(names), f"label_names {names}: give different names.")
    frames = _read_frames(source, labelled)
    by_file = isinstance(source, (str, Path)) and Path(source).expanduser().is_dir()
    name = str(source) if by_file else type(source).__name__
    empty = [where for where in frames if frames[where].empty] or [name] * (not frames)
    _require(not empty, f"{', '.join(empty)} is empty: give rows, or a folder with files like en.csv.")
    chosen = {"text": text_column} | ({"label": label_column} if labelled else {})
    chosen |= {"language": language_column, "id": id_column, "source": None}
    tables = [_select(w, f, chosen, language or Path(w).stem * by_file) for w, f in frames.items()]
    table = pd.concat(tables, ignore_index=True)
    table[["language", "source", "id"]] = table[["language", "source", "id"]].apply(_strings)
    good = table["text"].map(lambda text: isinstance(text, str) and text.strip() != "")
    _check_rows(table, good, "the text is empty or not text", "fill in or remove these, or set text_column")
    _check_languages(table)
    good = (table["id"] != "") & ~table.duplicated(["stem", "id"])
    _check_rows(table, good, "the id is missing or a duplicate", "make ids unique or set id_column")
    if table["id"].duplicated().any():
        table["id"] = table["stem"] + "-" + table["id"]
    if labelled:
        names, table["label"] = _encode_labels(table, names)
    features = {name: Value("string") for name in ("text", "label", "language", "source", "id")}
    features["label"] = ClassLabel(names=names)
    if logits := _teacher_logits(table, names):
        features["teacher_logits"] = List(Value("float32"))
        table["teacher_logits"] = logits
    return Dataset.from_dict(table[list(features)].to_dict("list"), features=Features(features))


def _require(condition: object, message: str) -> None:
    if not condition:
        raise InputError(message)


def _read_frames(source: Any, labelled: bool) -> dict[str, pd.DataFrame]:
    """A frame per file or split, by the name under which errors speak of it."""
    if isinstance(source, (Dataset, DatasetDict)):
        return _dataset_frames(source, type(source).__name__)
    name, path, kinds = str(source), Path(source).expanduser(), (*SUFFIXES, *[".txt"] * (not labelled))
    if path.is_dir():
        return {str(f): _read_file(f) for f in sorted(path.glob("[!.]*")) if f.suffix.lower() in kinds}
    if path.suffix.lower() in (*SUFFIXES, ".txt") or path.exists() or not re.fullmatch(r"\w[\w./-]*", name):
        _require(path.exists(), f"{name}: there is no such file under {Path.cwd()}; check the path.")
        _require(path.suffix.lower() in kinds, f"{name} is none of {', '.join(kinds)}: save it as one.")
        return {name: _read_file(path)}
    try:
        return _dataset_frames(datasets.load_dataset(name), name)
    except Exception as error:  # whatever goes wrong on the way, there is no table
        raise InputError(f"{name} is no file, nor on the hub ({error!r:.88}): give an id or path.") from error


def _dataset_frames(data: Dataset | DatasetDict, where: str) -> dict[str, pd.DataFrame]:
    if isinstance(data, DatasetDict):
        return {f"{where}/{split}": _dataset_frames(data[split], "")[""] for split in data}
    columns: dict[str, Any] = {}
    for name, feature in data.features.items():
        if isinstance(feature, (Value, ClassLabel)):
            columns[name] = pd.Series(data.with_format(None)[name][:], dtype=object)
        if isinstance(feature, ClassLabel):
            columns[name] = pd.Categorical.from_codes(columns[name].fillna(-1).astype(int), feature.names)
    return {where: pd.DataFrame(columns)}


def _read_file(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        try:
            return _dataset_frames(Dataset(pyarrow.parquet.read_table(path)), "")[""]
        except (pyarrow.ArrowException, ValueError, TypeError) as error:
            raise InputError(f"{path} is no Parquet file ({error!r:.120}): write it again.") from error
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        likely = ["utf_16", "gb18030", "big5", "cp1252", "cp1251", "shift_jis", "euc_kr"]
        guess = getattr(from_bytes(error.object, cp_isolation=likely).best(), "encoding", "cp1252")
        raise InputError(f"{path} is {guess}, not UTF-8: convert it (iconv -f {guess} -t UTF-8).") from error
    rows: list[Any] = [{"text": line.rstrip("\r")} for line in text.split("\n") if line.strip()]
    if rows and suffix != ".txt":
        rows = _csv_rows(text, path) if suffix in (".csv", ".tsv") else _json_rows(text, path)
    return pd.DataFrame(rows, dtype=object)


def _csv_rows(text: str, path: Path) -> list[dict[str, str]]:
    first = text.strip().splitlines()[0]
    mark = max(",;\t|", key=lambda mark: len(next(csv.reader([first], delimiter=mark))))
    known = mark in first or _fold(first) in COLUMN_NAMES["text"].split()
    _require(known, f"{path}: unknown delimiter in header {first!r:.60}; use , ; tab or |.")
    rows: list[list[str]] = []
    try:
        for row in filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)):
            rows.append(row)
            problem = f"{path}: row {len(rows) - 1} has {len(row)} fields, the header {len(rows[0])}"
            _require(len(row) == len(rows[0]), f"{problem}; quote texts that hold the delimiter {mark!r}.")
    except csv.Error as error:
        raise InputError(f"{path}: row {len(rows)}: {error}; close quotes, double those inside.") from error
    header = [name.strip() for name in rows[0]]
    _require(len(set(header)) == len(header), f"{path}: rename columns of one name ({_listed(header)}).")
    return [dict(zip(header, row, strict=True)) for row in rows[1:]]


def _json_rows(text: str, path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            rows += [dict(json.loads(line).items())] if line.strip() else []
            json.dumps(rows[-1:], ensure_ascii=False).encode()  # refuses lone surrogates, which are not text
        except (ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is no JSON object; write one a line.") from error
    return rows


def _fold(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def _strings(values: pd.Series) -> pd.Series:
    return values.astype(object).map(lambda v: "" if v is None or str(v) == "nan" else str(v).strip())


def _listed(names: Any) -> str:
    return f"{', '.join(map(repr, names)):.300}"


def _column(where: str, frame: pd.DataFrame, role: str, name: str | None, fallback: Any = None) -> Any:
    found = [c for c in frame if (_fold(c) in COLUMN_NAMES[role].split() if name is None else c == name)]
    if len(found) != 1 and (found or name or fallback is None):
        problem = f"{_listed(found)} could each be the {role}" if found else f"no column {name or role!r}"
        option = "language (--language) or " * (role == "language") + f"{role}_column (--{role}-column)"
        raise InputError(f"{where}: {problem}; set {option}, the columns are {_listed(frame)}.")
    return frame[found[0]] if found else fallback


def _select(where: str, frame: pd.DataFrame, chosen: dict[str, Any], language: str) -> pd.DataFrame:
    """The columns under the Dataset's names, the teacher's columns, and where each row is."""
    stem, numbers = Path(where).stem, (frame.index + 1).astype(str)
    table = frame[[name for name in frame if _fold(name).startswith(TEACHER_PREFIXES)]].rename(columns=_fold)
    table = table.assign(where=where, stem=stem, row=numbers, label=-1, language=language)
    fallback = {"id": stem + "-" + numbers, "source": stem}
    for role, name in chosen.items():
        if role != "language" or name or not language:
            table[role] = _column(where, frame, role, name, fallback.get(role))
    return table


def _check_rows(table: pd.DataFrame, good: pd.Series, problem: str, remedy: str) -> None:
    bad = table[~good.astype(bool)]
    rows = bad.loc[bad["where"] == bad["where"].min(), "row"].tolist()
    place = ", ".join([*rows[:5], *[f"and {len(rows) - 5} more"] * (len(rows) > 5)])
    _require(bad.empty, f"{bad['where'].min()}: {problem} in row{'s'[: len(rows) > 1]} {place}; {remedy}.")


def _check_languages(table: pd.DataFrame) -> None:
    known = json.loads((Path(datasets.__file__).parent / "utils/resources/languages.json").read_bytes())
    codes = {code: name.lower() for code, name in known.items() if len(code) == 2}  # ISO 639-1
    table["language"] = table["language"].str.lower()
    for bad in table.loc[~table["language"].isin(codes), "language"][:1]:
        likely = [code for code in codes if bad in codes[code].split("; ") or re.match(code + "[-_]", bad)]
        remedy = f"write {(likely or ['a two-letter ISO 639-1 code such as en'])[0]}"
        _check_rows(table, table["language"] != bad, f"unknown language {bad!r}", remedy)


def _encode_labels(table: pd.DataFrame, names: list[str]) -> tuple[list[str], pd.Series]:
    where, labels = ", ".join(table["where"].unique()), _strings(table["label"])
    _check_rows(table, labels != "", "the label is missing", "fill in or remove these, or set labelled=False")
    whole = labels.str.fullmatch(r"[+-]?\d+")
    if not names and labels.str.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", case=False).all():
        _check_rows(table, whole, "the label is a decimal number", "round it (1, not 1.0) or use names")
    names = names or list(getattr(table["label"].dtype, "categories", []))
    names = names or sorted(sorted(set(labels)), key=int if whole.all() else None)
    if whole.all() and not set(labels) & set(names):
        labels = labels.replace({str(position): name for position, name in enumerate(names)})
    unknown = _listed(sorted(set(labels) - set(names)))
    _require(not unknown, f"{where}: labels {unknown} are not in label_names {names}; add or rename them.")
    _require(labels.nunique() > 1, f"{where} has one class, {labels[0]!r}: add others or set label_column.")
    small = _listed(name for name in names if (labels == name).sum() < MIN_ROWS_PER_CLASS)
    _require(not small, f"{where} has fewer than {MIN_ROWS_PER_CLASS} rows of {small}: add or merge some.")
    return names, labels.map(names.index)


def _teacher_logits(table: pd.DataFrame, names: list[str]) -> list[list[float]]:
    for columns in ([_fold(prefix + name) for name in names] for prefix in TEACHER_PREFIXES):
        if set(columns) & set(table):
            p = table.reindex(columns=columns).apply(pd.to_numeric, errors="coerce")
            good = p.ge(0).all(axis=1) & p.sum(axis=1).sub(1).abs().le(1e-3 + 1e-9)
            problem = f"the probabilities {_listed(columns)} do not add up to 1"
            _check_rows(table, good, problem, "give one from 0 to 1 for each class, with decimal points")
            return np.log(p.clip(lower=1e-6)).to_numpy(dtype=float).tolist()
    return []
