"""The reader's own table: CSV, TSV, JSON lines, Parquet, a folder, a Dataset or a hub id as one flat Dataset.

Files are only parsed, never executed or unpickled. Every complaint is an `InputError` of one sentence; the
rows that it names are counted from 1 without the header, each file or split on its own.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow.parquet
from charset_normalizer import from_bytes
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from .errors import InputError, explained, require

LANGUAGES = Path(datasets.__file__).parent / "utils/resources/languages.json"  # codes and their names
MIN_ROWS_PER_CLASS = 8
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
TEACHER_PREFIXES = ("p_", "prob_", "teacher_")
COLUMN_NAMES = {"text": "text review review_text review_body sentence content comment body texte avis 文本 评论 内容",
                "label": "label sentiment class category rating étiquette etiquette classe catégorie 标签 类别 情感",
                "language": "language lang langue 语言", "id": "id uid review_id identifiant 编号", "source": "source"}  # fmt: skip


def read_table(source: str | Path | Dataset | DatasetDict, text_column: str | None = None, label_column: str | None = None,
               language_column: str | None = None, id_column: str | None = None, language: str | None = None,
               labelled: bool = True, label_names: Sequence[str] | None = None) -> Dataset:  # fmt: skip
    """Read a table of texts into a Dataset with the columns text, label, language, source and id.

    Args:
        source: a .csv, .tsv, .jsonl, .json (an object a line) or .parquet file in UTF-8; a folder with a file
            per language (en.csv, fr.jsonl: the name is the language); a Dataset; a DatasetDict, whose splits
            are joined; or, where no such path exists, the id of a dataset on the hub. With `labelled=False`
            also a .txt file with a text a line, blank lines skipped.
        text_column, label_column, language_column, id_column: where None, guessed by the usual English,
            French and Chinese names in any case (of transfer texts the text column also where the one
            named is not there). Without an id column ids are "<stem>-<row>", the stem
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
    require(len(names) != 1 and len(set(names)) == len(names), f"label_names {names}: give different names.")
    by_name = isinstance(source, (str, Path)) and Path(source).expanduser().is_dir()
    frames = _read_frames(source, labelled) or {str(source) if by_name else type(source).__name__: pd.DataFrame()}
    empty = ", ".join(where for where, frame in frames.items() if frame.empty)
    require(not empty, f"{empty} is empty: give rows, or a folder with files like en.csv.")
    if not labelled and not any(text_column in frame for frame in frames.values()):
        text_column = None  # the one that the labelled table has
    chosen = {"text": text_column, "id": id_column, "source": None} | ({"label": label_column} if labelled else {})
    chosen |= {"language": language_column} if language_column or not (language or by_name) else {}
    table = pd.concat([_select(where, frame, chosen, language) for where, frame in frames.items()], ignore_index=True)
    table[["language", "source", "id"]] = table[["language", "source", "id"]].apply(_strings)

    good = table["text"].map(lambda text: isinstance(text, str) and text.strip() != "")
    _check_rows(table, good, "the text is empty or not text", "fill in or remove these, or set text_column")
    table["language"] = table["language"].str.lower()
    codes = {code: name.lower().split("; ") for code, name in json.loads(LANGUAGES.read_bytes()).items() if len(code) == 2}
    for bad in table.loc[~table["language"].isin(codes), "language"][:1]:
        likely = [code for code, known in codes.items() if bad in known or re.match(f"{code}[-_]", bad)]
        remedy = f"write {(likely or ['a two-letter ISO 639-1 code such as en'])[0]}"
        _check_rows(table, table["language"] != bad, f"unknown language {bad!r}", remedy)
    good = (table["id"] != "") & ~table.duplicated(["stem", "id"])
    _check_rows(table, good, "the id is missing or a duplicate", "make ids unique or set id_column")
    if table["id"].duplicated().any():
        table["id"] = table["stem"] + "-" + table["id"]
    names, table["label"] = _encode_labels(table, names) if labelled else (names, -1)
    _add_teacher_logits(table, names)
    return to_dataset(table.to_dict("records"), names)


def to_dataset(rows: Sequence[Any], names: list[str]) -> Dataset:
    """Rows as a ``Dataset`` with the kit's columns (and ``teacher_logits`` where the rows bring them)."""
    features: dict[str, Any] = {name: Value("string") for name in ("text", "label", "language", "source", "id")}
    features["label"] = ClassLabel(names=names)
    if rows and "teacher_logits" in rows[0]:
        features["teacher_logits"] = List(Value("float32"))
    return Dataset.from_dict({name: [row[name] for row in rows] for name in features}, Features(features))


def _read_frames(source: Any, labelled: bool) -> dict[str, pd.DataFrame]:
    """A frame per file or split, by the name under which errors speak of it."""
    if isinstance(source, Dataset):
        return {"Dataset": _frame(source)}
    if isinstance(source, DatasetDict):
        return {f"DatasetDict/{split}": _frame(part) for split, part in source.items()}
    name, path, kinds = str(source), Path(source).expanduser(), SUFFIXES if labelled else (*SUFFIXES, ".txt")
    if path.is_dir():
        return {str(f): _read_file(f) for f in sorted(path.glob("[!.]*")) if f.suffix.lower() in kinds}
    if path.exists() or path.suffix.lower() in (*SUFFIXES, ".txt") or not re.fullmatch(r"\w[\w./-]*", name):
        require(path.exists(), f"{name}: there is no such file under {Path.cwd()}; check the path.")
        require(path.suffix.lower() in kinds, f"{name} is none of {', '.join(kinds)}: save it as one.")
        return {name: _read_file(path)}
    with explained(f"{name} is no file, nor on the hub", "give an id or path", Exception):  # whatever goes wrong on the way, there is no table
        return {f"{name}/{split}": _frame(part) for split, part in datasets.load_dataset(name).items()}


def _frame(data: Dataset) -> pd.DataFrame:
    """The columns of single values; a ClassLabel becomes a categorical of its names."""
    flat = {name: feature for name, feature in data.features.items() if isinstance(feature, (Value, ClassLabel))}
    frame = pd.DataFrame(data.select_columns(list(flat)).to_dict(), dtype=object)
    for name in (name for name, feature in flat.items() if isinstance(feature, ClassLabel)):
        frame[name] = pd.Categorical.from_codes(frame[name].fillna(-1).astype(int), flat[name].names)
    return frame


def _read_file(path: Path) -> pd.DataFrame:
    if path.suffix.lower() == ".parquet":
        with explained(f"{path} is no Parquet file", "write it again", ValueError):
            return _frame(Dataset(pyarrow.parquet.read_table(path)))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        likely = ["utf_16", "gb18030", "big5", "cp1252", "cp1251", "shift_jis", "euc_kr"]
        guess = getattr(from_bytes(error.object, cp_isolation=likely).best(), "encoding", "cp1252")
        raise InputError(f"{path} is {guess}, not UTF-8: convert it (iconv -f {guess} -t UTF-8).") from error
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not lines or path.suffix.lower() == ".txt":
        return pd.DataFrame({"text": lines}, dtype=object)
    if table := path.suffix.lower() in (".csv", ".tsv"):
        first = text.strip().splitlines()[0]
        known = any(mark in first for mark in ",;\t|") or fold(first) in COLUMN_NAMES["text"].split()
        require(known, f"{path}: unknown delimiter in header {first!r:.60}; use , ; tab or |.")
    numbers = [number for number, line in enumerate(re.split("\r\n?|\n", text), 1) if line.strip()]
    remedy = "quote texts that hold the delimiter, close quotes, double those inside" if table else "give a JSON object, one a line"
    records = list(read_records(path))
    for i, (_, reason) in enumerate(records):
        place = f"row {i + 1}" if table else f"line {numbers[i]}"
        require(not reason, f"{path}: {place}{reason.removeprefix('the row')}; {remedy}.")
    return pd.DataFrame([row for row, _ in records], dtype=object)


def read_records(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The rows of a CSV or JSON lines file one by one; where one cannot be read an empty one, and the reason."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        rows: Iterator[Any] = map(json.loads, filter(str.strip, lines))
        if table := path.suffix.lower() in (".csv", ".tsv"):
            first = next(filter(str.strip, lines), "")
            with explained(f"{path}: the header cannot be read", "close quotes, double those inside", csv.Error):
                mark = max(",;\t|", key=lambda mark: len(next(csv.reader([first], delimiter=mark))))
                rows = filter(None, csv.reader(chain([first], lines), delimiter=mark, strict=True))
                header = [name.strip() for name in next(rows, [])]
            require(len(set(header)) == len(header), f"{path} has two columns of one name ({_listed(header)}): rename one.")
        while True:
            try:
                row = next(rows)
                if table and len(row) != len(header):
                    yield {}, f"the row has {len(row)} fields, more or fewer fields than the header ({len(header)}, delimiter {mark!r})"
                    continue
                record = dict(zip(header, row, strict=True) if table else row.items())
                json.dumps(record, ensure_ascii=False).encode()  # refuses surrogates, which stand for bytes that are not UTF-8
                yield record, ""
            except StopIteration:
                return
            except UnicodeEncodeError:
                yield {}, "the row is not valid UTF-8"
            except AttributeError:
                yield {}, "the row is no JSON object"
            except (ValueError, RecursionError, csv.Error) as error:
                yield {}, f"the row cannot be read: {error}"


def fold(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def _strings(values: pd.Series) -> pd.Series:
    return values.astype(object).map(lambda v: "" if v is None or str(v) == "nan" else str(v).strip())


def _listed(names: Any) -> str:
    return f"{', '.join(map(repr, names)):.300}"


def _select(where: str, frame: pd.DataFrame, chosen: dict[str, str | None], language: str | None) -> pd.DataFrame:
    """The columns under the Dataset's names, the teacher's columns, and where each row is."""
    stem, row = Path(where).stem, (frame.index + 1).astype(str)
    table = frame[[name for name in frame if fold(name).startswith(TEACHER_PREFIXES)]].rename(columns=fold)
    table = table.assign(where=where, stem=stem, row=row, id=stem + "-" + row, source=stem, language=language or stem)
    for role, name in chosen.items():
        found = [c for c in frame if (fold(c) in COLUMN_NAMES[role].split() if name is None else c == name)]
        absent = not found and not name and role in ("id", "source")  # which may be
        problem = f"{_listed(found)} could each be the {role}" if found else f"no column {name or role!r}"
        option = "language (--language) or " * (role == "language") + f"{role}_column (--{role}-column)"
        require(absent or len(found) == 1, f"{where}: {problem}; set {option} or rename one, the columns are {_listed(frame)}.")
        if found:
            table[role] = frame[found[0]]
    return table


def _check_rows(table: pd.DataFrame, good: pd.Series, problem: str, remedy: str) -> None:
    bad = table[~good.astype(bool)]
    rows = bad.loc[bad["where"] == bad["where"].min(), "row"].tolist()
    place = ", ".join([*rows[:5], *[f"and {len(rows) - 5} more"] * (len(rows) > 5)])
    require(bad.empty, f"{bad['where'].min()}: {problem} in row{'s'[: len(rows) > 1]} {place}; {remedy}.")


def _encode_labels(table: pd.DataFrame, names: list[str]) -> tuple[list[str], pd.Series]:
    where, labels = ", ".join(table["where"].unique()), _strings(table["label"])
    _check_rows(table, labels != "", "the label is missing", "fill in or remove these, or set labelled=False")
    whole = labels.str.fullmatch(r"[+-]?\d+")
    if not names and labels.str.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", case=False).all():
        _check_rows(table, whole, "the label is a decimal number", "round it (1, not 1.0) or use names")
    names = names or [*getattr(table["label"].dtype, "categories", [])] or sorted(sorted(set(labels)), key=int if whole.all() else None)
    if whole.all() and not set(labels) & set(names):
        labels = labels.replace({str(position): name for position, name in enumerate(names)})
    unknown = _listed(sorted(set(labels) - set(names)))
    require(not unknown, f"{where}: labels {unknown} are not in label_names {names}; add or rename them.")
    require(labels.nunique() > 1, f"{where} has one class, {labels[0]!r}: add others or set label_column.")
    small = _listed(name for name in names if (labels == name).sum() < MIN_ROWS_PER_CLASS)
    require(not small, f"{where} has fewer than {MIN_ROWS_PER_CLASS} rows of {small}: add or merge some.")
    return names, labels.map(names.index)


def _add_teacher_logits(table: pd.DataFrame, names: list[str]) -> None:
    for columns in ([fold(prefix + name) for name in names] for prefix in TEACHER_PREFIXES):
        if set(columns) & set(table):
            p = table.reindex(columns=columns).apply(pd.to_numeric, errors="coerce")
            good = p.ge(0).all(axis=1) & p.sum(axis=1).sub(1).abs().le(1e-3 + 1e-9)
            problem = f"the probabilities {_listed(columns)} do not add up to 1"
            _check_rows(table, good, problem, "give one from 0 to 1 for each class, with decimal points")
            table["teacher_logits"] = np.log(p.clip(lower=1e-6)).to_numpy(dtype=float).tolist()
            return
