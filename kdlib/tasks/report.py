"""The report of a task on the reader's own file: its settings, rows and their splits, teacher and students.

``notebooks/reports/task_report.ipynb`` calls these functions one after the other; papermill executes it, as it does the other report.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from datasets import Dataset
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from transformers.trainer_utils import set_seed

from ..corpora import normalise, stable_order
from ..errors import explained, require
from ..experiment import Checked, Count, Layers, Positive, fast_bf16, option
from ..files import progress, read_text
from . import pairs, seq2seq, spans, study, tokens

DEFAULTS: dict[str, dict[str, Any]] = {"ner": {"layers": 2, "max_length": 128}, "qa": {"layers": 2, "max_length": 256},
                                       "pairs": {"layers": 2, "max_length": 64}, "seq2seq": {"layers": 1, "max_length": 64, "teacher": "new"}}  # fmt: skip
STEPS = {"ner": (300, 500), "qa": (300, 500), "pairs": (200, 500), "seq2seq": (1500, 1500)}  # of teacher and student, in three epochs at least
SIDES = {"pairs": ("query", "match"), "seq2seq": ("source", "target")}
LEAST = {"train": 16, "test": 4}  # rows


@dataclass(frozen=True)
class TaskSettings(Checked):
    """Everything that the report of a task depends on; the names are those of the papermill parameters.

    Raises ``InputError`` for a value of another type or outside its range.
    """

    task: Literal["ner", "pairs", "qa", "seq2seq"] = option("ner", "ner (CoNLL), qa (SQuAD JSON), pairs or seq2seq (TSV or JSON lines, two texts a row).")
    data: str | None = option(None, "Your labelled file.")
    test: str | None = option(None, "A file of the same form to be judged on. None: a fifth of the data.")
    transfer: str | None = option(None, "Your own unlabelled text: a text a line; for qa SQuAD JSON, whose answers are not read.")
    language: str = option("en", "Of the answers, for qa: how they are compared (en, fr, zh).")
    teacher: str | None = option(None, "packaged, a checkpoint folder or a hub id. None: packaged; for seq2seq new, a Marian model trained from nothing.")
    teacher_epochs: Positive | None = option(None, "Epochs of the teacher, on the labels. None: a number of steps that fits the task, at least 3 epochs.")
    layers: Layers | None = option(None, "How many layers a student has, or which (a list from 0). None: 2; for seq2seq 1 on each side.")
    epochs: Positive | None = option(None, "Epochs of a student. None: as many steps with the teacher as without, at least 3 epochs.")
    learning_rate: Positive = option(3e-4, "Peak learning rate of a student.")
    temperature: float = option(2.0, "T > 0 that softens teacher and student; not for pairs.")
    alpha: float = option(0.7, "Weight of the soft term, 0 to 1.")
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = option(None, "A student of each kind a seed. None: [0, 1, 2].")
    rows: Count | None = option(None, "Most rows to learn from, and to be judged on. None: all.")
    max_length: Annotated[int, Field(ge=8, le=512)] | None = option(None, "Most tokens of a sentence, a text or a window. None: the task's.")
    bf16: bool | None = option(None, "Train with products in bfloat16; weights and losses stay float32. None: where they are fast here.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.data, f"The task {self.task} needs data: give your file with --data.")
        self.fill({"teacher": "packaged", "seeds": [0, 1, 2], "bf16": fast_bf16(), **DEFAULTS[self.task]})
        unfit = self.teacher in (["packaged"] if self.task == "seq2seq" else ["new"])
        require(not unfit, f"The teacher {self.teacher} does not fit the task {self.task}: packaged reads and does not write, new is for seq2seq alone.")


def read_sides(path: str, names: tuple[str, str]) -> list[dict[str, str]]:
    """Two texts a row, under ``names``: of a .tsv file (a tab between them, no quotes; a first line with the names is passed over), or of
    a .jsonl file, an object with these fields a line. Blank lines are passed over.

    Raises ``InputError``, with the number of the line: more or fewer columns, no object, a side that is missing, empty or no text; for
    another kind of file, and as ``files.read_text``.
    """
    kind, rows = Path(path).suffix.lower(), []
    require(kind in (".tsv", ".jsonl"), f"{path} is none of .tsv, .jsonl: save it as one, {names[0]} and {names[1]} in each row.")
    for number, line in enumerate(read_text(path, "a .tsv or .jsonl file").split("\n"), 1):
        where = f"{path}, line {number}"
        if not line.strip() or (number == 1 and line.split("\t") == [*names]):
            continue
        columns: Any = line.split("\t")
        if kind == ".jsonl":
            with explained(f"{where} is no JSON object", f"write one with {names[0]} and {names[1]}", ValueError, RecursionError, AttributeError):
                json.dumps(row := json.loads(line), ensure_ascii=False).encode()  # half a surrogate pair is no text
                columns = [row.get(name) for name in names]
        require(len(columns) == 2, f"{where} has {len(columns)} column(s) and not two: write {names[0]}, one tab, {names[1]}.")
        for name, text in zip(names, columns, strict=True):
            require(isinstance(text, str) and text.strip(), f"{where}: the {name} is missing, empty or no text: fill it in, or leave the row out.")
        rows.append(dict(zip(names, map(str.strip, columns), strict=True)))
    return rows


def read_rows(task: str, path: str, labelled: bool = True) -> list[dict[str, Any]]:
    """The rows of a file of a task; with ``labelled=False`` of one without labels. Raises ``InputError`` as the readers do."""
    if task == "qa":
        return [{**row, "labelled": labelled} for row in spans.read_squad(path, labelled)]
    if labelled:
        return tokens.read_conll(path).to_list() if task == "ner" else read_sides(path, SIDES[task])
    texts = [line.strip() for line in read_text(path, "a file with a text a line").split("\n") if line.strip()]
    return [{"words": text.split(), "tags": []} if task == "ner" else dict(zip(SIDES[task], (text, None), strict=True)) for text in texts]


def keys(row: Mapping[str, Any]) -> set[str]:
    """The texts of a row, without case, spaces and punctuation, that no other split may hold: sentence, passage, or both sides."""
    texts = [" ".join(row["words"])] if "words" in row else [row[name] for name in ("context", *chain(*SIDES.values())) if row.get(name)]
    return {normalise(text) for text in texts}


def split_rows(rows: Sequence[Mapping[str, Any]], test: Sequence[Any] = (), transfer: Sequence[Any] = (), seed: int = 0) -> dict[str, list[Any]]:
    """Rows for train, test (a fifth where none are given) and transfer; no text of a test row, as ``keys``, is in another split.

    Rows that share a text, directly or by a chain, stay together. The order is pseudo-random, and that of the file is of no account.
    Repeated rows are left out.
    """
    unique = [{json.dumps(row, sort_keys=True): row for row in part} for part in (rows, test, transfer)]
    learnt, judged, more = ([part[key] for key in sorted(part, key=lambda key: stable_order(key, seed))] for part in unique)
    texts = [keys(row) for row in learnt]
    if not judged:
        number = {key: place for place, key in enumerate(sorted(set().union(*texts)), len(learnt))}
        links = np.array([(place, number[key]) for place, found in enumerate(texts) for key in found]).T
        _, groups = connected_components(coo_array((np.ones(links.shape[1]), links), shape=(len(learnt) + len(number),) * 2))
        members: dict[int, list[Any]] = {}
        for row, group in zip(learnt, groups.tolist(), strict=False):  # after the rows come their texts
            members.setdefault(group, []).append(row)
        for part in members.values():
            judged += part if len(judged) + len(part) <= len(learnt) // 5 else []
    held_out = set().union(*map(keys, judged))
    train = [row for row, found in zip(learnt, texts, strict=True) if not found & held_out]
    return {"train": train, "test": judged, "transfer": [row for row in more if not keys(row) & held_out]}


def load(settings: TaskSettings) -> tuple[study.Task, dict[str, Dataset]]:
    """The family of the task, and its rows: train, test and, where there are some, transfer.

    Raises ``InputError`` for files as their readers do, and where rows are too few or tag no entity.
    """
    task, length, path = settings.task, int(settings.max_length or 0), str(settings.data)
    others = [read_rows(task, file, labelled) if file else [] for file, labelled in ((settings.test, True), (settings.transfer, False))]
    data = split_rows(read_rows(task, path), others[0], others[1])
    given = " and ".join(f"{len(data[name])} to {does}" for name, does in (("train", "learn from"), ("test", "be judged on")))
    enough = all(len(data[name]) >= count for name, count in LEAST.items())
    require(enough, f"{path}: the rows without repetitions, those that share a text kept together, are {given}; "
                    f"give more, so that they are {LEAST['train']} and {LEAST['test']} at least.")  # fmt: skip
    data = {name: part[: None if name == "transfer" else settings.rows] for name, part in data.items()}
    if task == "pairs":  # a transfer text is compared with the matches that are learnt from
        pools = {name: [row["match"] for row in data["test" if name == "test" else "train"]] for name in data}
        data = {name: pairs.add_candidates(part, pools[name]) for name, part in data.items()}
    types = sorted({tag[2:] for row in data["train"] + data["test"] for tag in row.get("tags", []) if tag != "O"})
    require(types or task != "ner", f"{path} tags no entity: give sentences with the tags B-… and I-….")
    families: dict[str, Any] = {"ner": lambda: tokens.Tagging(types, length), "qa": lambda: spans.Answering(length, length // 4, settings.language),
                "pairs": lambda: pairs.Matching(length), "seq2seq": lambda: seq2seq.Writing(max_length=length, positions=max(128, length + 1))}  # fmt: skip
    return families[task](), {name: Dataset.from_list(part) for name, part in data.items() if part}


def learn(task: study.Task, data: Mapping[str, Dataset], settings: TaskSettings) -> dict[str, list[tuple[Any, Any]]]:
    """Models with their tokenizers: ``teacher``, ``student_labels_only`` and ``student_distilled``, of these one for each seed.

    The teacher learns from the labels, an encoder's embeddings excepted. Both kinds of students have the same start and, without
    ``settings.epochs``, max(3, ``STEPS`` · batch / rows) epochs. The distilled ones learn from the teacher's outputs too, on the rows of
    train and of transfer; for seq2seq the teacher writes what transfer lacks.
    Raises ``InputError`` for a teacher that does not fit, before anything is trained, and for rows that are too long for it.
    """
    set_seed(0)
    teacher, tokenizer = task.teacher(str(settings.teacher), data["train"])
    places, begins = (getattr(teacher.config, name, None) for name in ("max_position_embeddings", "decoder_start_token_id"))
    begun, length = begins in (None, tokenizer.pad_token_id), int(settings.max_length or 0) + (settings.task == "seq2seq")
    problem = f"The teacher {settings.teacher} does not fit the task {settings.task}"
    require(tokenizer.is_fast and begun, f"{problem}: give one with a fast tokenizer and, for seq2seq, whose targets begin with padding, as Marian's and T5's.")
    require(length <= (places or length), f"{problem}: it has {places} positions, and {length} are asked; lower max_length.")
    special: dict[str, dict[str, Any]] = {"pairs": {"start": settings.teacher}, "seq2seq": {"width": 128, "neurons": 512, "positions": max(128, length)}}
    extra = special.get(settings.task, {})
    make: Any = task.student  # the families differ in what they take besides
    make(teacher, tokenizer, settings.layers, data["train"], **extra)
    for part in (part for name, part in data.items() if (settings.task, name) != ("seq2seq", "transfer")):
        task.encode(teacher, tokenizer, part)
    batch = 4 if settings.task == "pairs" else 16  # a row of pairs is as long as its candidates are many
    epochs = [lambda rows, given=given, steps=steps: given or max(3.0, steps * batch / len(rows))
              for given, steps in zip((settings.teacher_epochs, settings.epochs), STEPS[settings.task], strict=True)]  # fmt: skip
    fixed: dict[str, Any] = {"bf16": settings.bf16, "per_device_train_batch_size": batch}
    rate, frozen = (1e-3, None) if settings.teacher == "new" else (1.5e-4, None if settings.task == "seq2seq" else 0)
    study.train(task, teacher, tokenizer, data["train"], frozen, num_train_epochs=epochs[0](data["train"]), learning_rate=rate, **fixed)
    taught = task.teach(teacher, tokenizer, Dataset.from_list([row for name in ("train", "transfer") if name in data for row in data[name]]))
    fixed |= {"learning_rate": settings.learning_rate, "temperature": settings.temperature,
              "alpha": settings.alpha, "objective": "mse" if settings.task == "pairs" else "kl"}  # fmt: skip
    models = {"teacher": [(teacher, tokenizer)]}
    for kind, rows in (("student_labels_only", data["train"]), ("student_distilled", taught)):
        for seed in progress(settings.seeds, f"{kind}, seeds"):
            set_seed(seed)
            student, own = make(teacher, tokenizer, settings.layers, taught, **extra)
            models.setdefault(kind, []).append((study.train(task, student, own, rows, seed=seed, num_train_epochs=epochs[1](rows), **fixed), own))
    return models
