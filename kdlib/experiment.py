"""The steps of a report: data, teacher, students, baselines, measurements; each finished step is kept on disk.

A step's folder under ``KDLIB_HOME`` is named by a digest of all that it depends on. A run that was interrupted goes on
after its last finished step, and a second run only reads.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast, set_seed

from .data import SPLIT_SIZES, load_diagnostics, load_reviews
from .distill import DistillationArguments, add_teacher_outputs, fingerprint, train_classifier
from .errors import InputError
from .evaluate import predict_logits
from .files import home, progress, written_aside
from .students import make_student
from .teachers import finetune_teacher, has_trained_head, load_teacher

PROFILES: dict[str, dict[str, Any]] = {
    "slice": {"seeds": [0], "rows": 96, "transfer_size": 160, "epochs": 1, "labels_only_epochs": 1, "teacher_training": "none"},
    "quick": {"seeds": [0], "rows": 1000, "transfer_size": 3000, "epochs": 3, "labels_only_epochs": 6, "teacher_training": "none"},
    "full": {"seeds": [0, 1, 2], "transfer_size": 8000, "epochs": 5, "labels_only_epochs": 16, "teacher_training": "full"},
}
KINDS = ("labels_only", "distilled", "labels_then_distilled")
Classifier = tuple[PreTrainedModel, PreTrainedTokenizerFast]


@dataclass(frozen=True)
class Settings:
    """Everything that a report depends on; the names are those of the papermill parameters.

    Raises ``InputError`` for an unknown profile or values outside their range.
    """

    profile: str = field(default="quick", metadata={"help": "quick, full (fine-tunes the teacher, three seeds) or slice (a trial)."})
    data: str | None = field(default=None, metadata={"help": "Your table: CSV, TSV, JSONL, Parquet, folder, hub id. None: the kit's corpora."})
    transfer: str | None = field(default=None, metadata={"help": "A file of your own unlabelled text for the transfer set."})
    text_column: str | None = field(default=None, metadata={"help": "Column of the text; None: guessed by name."})
    label_column: str | None = field(default=None, metadata={"help": "Column of the label; None: guessed by name."})
    language_column: str | None = field(default=None, metadata={"help": "Column of the language; None: guessed by name."})
    language: str | None = field(default=None, metadata={"help": "The one language of your table, such as en."})
    languages: list[str] | None = field(default=None, metadata={"help": "Languages to make students for. None: all in the data."})
    teacher: str = field(default="packaged", metadata={"help": "packaged, a checkpoint folder or a hub id."})
    teacher_training: str | None = field(default=None, metadata={"help": "none, lora or full, on the training rows. None: the profile's."})
    layers: Any = field(default=None, metadata={"help": "How many layers, which (a list from 0), or a dict by language. None: [0] for zh, fr; else 2."})
    vocabulary: Literal["trim", "full"] = field(default="trim", metadata={"help": "trim (to the pieces that the language uses) or full."})
    embedding_size: int | None = field(default=None, metadata={"help": "Width of factorised embeddings; None: the teacher's width."})
    temperature: float = field(default=2.0, metadata={"help": "T > 0 that softens teacher and student."})
    alpha: float = field(default=0.7, metadata={"help": "Weight of the soft term, 0 to 1."})
    objective: Literal["kl", "ce", "mse"] = field(default="kl", metadata={"help": "Soft term: kl, ce or mse."})
    epochs: float | None = field(default=None, metadata={"help": "Epochs of distillation. None: the profile's."})
    learning_rate: float = field(default=3e-4, metadata={"help": "Peak learning rate of distillation."})
    labels_only_epochs: float | None = field(default=None, metadata={"help": "Most epochs of the labels-only student. None: the profile's."})
    labels_only_learning_rate: float = field(default=3e-4, metadata={"help": "Peak learning rate of the labels-only student."})
    seeds: list[int] | None = field(default=None, metadata={"help": "One student of each kind for every seed. None: the profile's."})
    transfer_size: int | None = field(default=None, metadata={"help": "Most texts of the transfer set. None: the profile's."})
    rows: int | None = field(default=None, metadata={"help": "Most rows of any other split, for a trial. None: the profile's."})
    max_length: int = field(default=128, metadata={"help": "Tokens after which a text is cut."})

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise InputError(f"There is no profile {self.profile!r}: choose one of {', '.join(PROFILES)}.")
        for name, value in {"layers": {"zh": [0], "fr": [0]}, **PROFILES[self.profile]}.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.teacher_training not in ("none", "lora", "full"):
            raise InputError(f"teacher_training is {self.teacher_training!r}: choose none, lora or full.")
        if not self.seeds:
            raise InputError("seeds is empty: give at least one whole number, such as [0].")
        if not 8 <= self.max_length <= 512:
            raise InputError(f"max_length is {self.max_length}: choose a number of tokens from 8 to 512.")
        self.arguments("distilled", 0)

    def arguments(self, kind: str, seed: int) -> DistillationArguments:
        """The training arguments of one kind of student; the one that starts from labels distils for half as long."""
        labels_only, epochs = kind == "labels_only", float(self.epochs or 1)
        chosen = {"labels_only": float(self.labels_only_epochs or 1), "labels_then_distilled": max(1.0, epochs // 2)}
        return DistillationArguments(
            temperature=self.temperature,
            alpha=self.alpha,
            objective=self.objective,
            num_train_epochs=chosen.get(kind, epochs),
            learning_rate=self.labels_only_learning_rate if labels_only else self.learning_rate,
            seed=seed,
            disable_tqdm=True,
        )


@dataclass(frozen=True)
class Outcome:
    """One model's logits on the test set and on the diagnostic corpus, its training log and where it is saved."""

    logits: dict[str, np.ndarray]
    history: list[dict[str, Any]]
    folder: Path


def digest(*parts: Any) -> str:
    """A short digest of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def load_datasets(settings: Settings) -> dict[str, DatasetDict]:
    """One ``DatasetDict`` a language, cut to ``rows`` and ``transfer_size``; ``diagnostics`` is a fifth split where it fits."""
    if settings.data is None:
        chosen = settings.languages or list(SPLIT_SIZES)
        if unknown := [language for language in chosen if language not in SPLIT_SIZES]:
            raise InputError(f"The kit has no corpus in {', '.join(unknown)}: choose from {', '.join(SPLIT_SIZES)}, or give your own data.")
        whole = {language: load_reviews(language, transfer=settings.transfer) for language in chosen}
    else:
        names = ("text_column", "label_column", "language_column", "language")
        table = load_reviews(settings.data, transfer=settings.transfer, **{name: getattr(settings, name) for name in names})
        if settings.transfer and "teacher_logits" in table["train"].column_names:
            raise InputError(f"{settings.data} brings its teacher's outputs, {settings.transfer} has none: leave it out.")
        present = sorted(set(table["train"]["language"]))
        if missing := set(settings.languages or []) - set(present):
            raise InputError(f"{settings.data} has no rows in {', '.join(sorted(missing))}: it holds {', '.join(present)}.")
        chosen = settings.languages or present
        whole = {code: table.filter(lambda row, code=code: row["language"] == code) for code in chosen}
    datasets = {}
    for language, splits in whole.items():
        cut = {name: head(part, settings.transfer_size if name == "transfer" else settings.rows) for name, part in splits.items()}
        diagnostics = load_diagnostics(language)
        if diagnostics is not None and splits["train"].features["label"].names == diagnostics.features["label"].names[:2]:
            cut["diagnostics"] = diagnostics
        datasets[language] = DatasetDict(cut)
    return datasets


def head(dataset: Dataset, rows: int | None) -> Dataset:
    """The first ``rows`` rows, all of them for ``None``."""
    return dataset if rows is None else dataset.select(range(min(rows, len(dataset))))


def prepare_teacher(settings: Settings, datasets: dict[str, DatasetDict]) -> Classifier:
    """The teacher, fine-tuned on the training rows of all languages together where the settings ask for it."""
    parts = list(datasets.values())
    names = parts[0]["train"].features["label"].names
    training = settings.teacher_training
    if training == "none" and settings.teacher == "packaged" and names != ["negative", "positive"]:
        training = "lora"  # the shipped adapter knows other labels
    if training == "none" or "teacher_logits" in parts[0]["train"].column_names:
        model, tokenizer = load_teacher(settings.teacher, label_names=names)
        needed = settings.teacher != "packaged" and "teacher_logits" not in parts[0]["train"].column_names
        if needed and not has_trained_head(model.config):
            raise InputError(f"The teacher {settings.teacher} has no trained head: set teacher_training to lora or full.")
        return model, tokenizer
    set_seed(0)
    model, tokenizer = load_teacher(settings.teacher, label_names=names, adapter=None)
    texts = [[list(data[split]["text"]), list(data[split]["label"])] for data in parts for split in ("train", "validation")]
    key = digest("teacher", fingerprint(model, tokenizer), training, settings.max_length, texts)

    def build(folder: Path) -> None:
        train, validation = ([data[split] for data in parts] for split in ("train", "validation"))
        tuned = finetune_teacher(
            model, tokenizer, train, validation, method=str(training), max_length=settings.max_length, disable_tqdm=True
        )
        tuned.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return load_teacher(kept("teachers", key, build), label_names=names)


def kept(area: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder ``KDLIB_HOME/area/key``, filled by ``build`` the first time."""
    folder = home() / area / key
    if not folder.is_dir():
        with written_aside(folder) as aside:
            aside.mkdir()
            build(aside)
    return folder


def train_student(
    kind: str, data: DatasetDict, teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, settings: Settings, seed: int
) -> Outcome:
    """One student of a language: ``labels_only``, ``distilled`` or ``labels_then_distilled``, trained once and kept.

    All three have the same layers and the same start, copied from the teacher. ``data`` carries ``teacher_logits``.
    """
    language = data["test"][0]["language"]
    trained_on = {name: data[name].to_dict() for name in data}
    recipe = {name: value for name, value in asdict(settings).items() if name not in ("seeds", "languages", "profile", "data")}
    key = digest("student", kind, fingerprint(teacher, tokenizer), trained_on, recipe, seed)

    def build(folder: Path) -> None:
        corpus = [text for name in ("train", "transfer") for text in data[name]["text"]]
        layers = settings.layers.get(language, 2) if isinstance(settings.layers, dict) else settings.layers
        model, own_tokenizer = make_student(
            teacher, tokenizer, layers, settings.vocabulary, corpus, settings.embedding_size
        )
        if kind == "labels_then_distilled":
            first = train_student("labels_only", data, teacher, tokenizer, settings, seed)
            model = AutoModelForSequenceClassification.from_pretrained(first.folder)
        labelled = data["train"].filter(lambda row: row["label"] >= 0)
        rows = labelled.remove_columns("teacher_logits") if kind == "labels_only" else concatenate_datasets([labelled, data["transfer"]])
        set_seed(seed)
        history = train_classifier(model, own_tokenizer, rows, data["validation"], settings.arguments(kind, seed), settings.max_length)
        model.save_pretrained(folder)
        own_tokenizer.save_pretrained(folder)
        tested = [name for name in ("test", "diagnostics") if name in data]
        logits = {name: predict_logits(model, own_tokenizer, data[name]["text"], max_length=settings.max_length) for name in tested}
        save_file(logits, folder / "logits.safetensors")
        (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")

    folder = kept("students", key, build)
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    return Outcome(load_file(folder / "logits.safetensors"), history, folder)


def train_students(data: DatasetDict, teacher: Classifier, settings: Settings) -> dict[str, list[Outcome]]:
    """Every kind of student of one language, one for each seed."""
    steps = progress([(kind, seed) for kind in KINDS for seed in settings.seeds or []], "students")
    students: dict[str, list[Outcome]] = {kind: [] for kind in KINDS}
    for kind, seed in steps:
        steps.set_description(f"student {data['train'][0]['language']} {kind}, seed {seed}")
        students[kind].append(train_student(kind, data, *teacher, settings, seed))
    return students


def load_student(outcome: Outcome) -> Classifier:
    """The saved student and its tokenizer, through the Auto classes as anyone would load them."""
    tokenizer: Any = AutoTokenizer.from_pretrained(outcome.folder)
    return AutoModelForSequenceClassification.from_pretrained(outcome.folder).eval(), tokenizer


def label_with_teacher(data: DatasetDict, teacher: Classifier, settings: Settings) -> DatasetDict:
    """Teacher outputs for every split but validation, unless the data bring their own (a black-box teacher)."""
    if "teacher_logits" in data["train"].column_names:
        return data
    needed = DatasetDict({name: part for name, part in data.items() if name != "validation"})
    return DatasetDict({**data, **add_teacher_outputs(needed, *teacher, max_length=settings.max_length)})


def tfidf_baseline(data: DatasetDict, language: str) -> Pipeline:
    """TF-IDF and logistic regression: words and word pairs, or one to four characters for Chinese; C chosen on validation."""
    labelled = data["train"].filter(lambda row: row["label"] >= 0)
    characters = {"analyzer": "char", "ngram_range": (1, 4)} if language in ("zh", "ja", "th") else {"ngram_range": (1, 2)}
    best, best_accuracy = None, -1.0
    for strength in (0.3, 1.0, 3.0, 10.0, 30.0):
        model = make_pipeline(TfidfVectorizer(sublinear_tf=True, **characters), LogisticRegression(C=strength, max_iter=2000))
        model.fit(list(labelled["text"]), list(labelled["label"]))
        accuracy = model.score(list(data["validation"]["text"]), list(data["validation"]["label"]))
        if accuracy > best_accuracy:
            best, best_accuracy = model, accuracy
    return best

