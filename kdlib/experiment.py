"""The steps of a report: data, teacher, students, baselines, measurements; each finished step is kept on disk.

A step's folder under ``KDLIB_HOME`` is named by a digest of all that it depends on. A run that was interrupted goes on
after its last finished step, and a second run only reads.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import numpy as np
import torch
from datasets import DatasetDict, concatenate_datasets
from pydantic import Field, TypeAdapter, ValidationError
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from transformers import PreTrainedModel, PreTrainedTokenizerFast, set_seed

from .corpora import LABEL_NAMES
from .data import SPLIT_SIZES, load_diagnostics, load_reviews
from .distill import DistillationArguments, add_teacher_outputs, fingerprint, set_dropout, train_classifier
from .errors import InputError, require
from .evaluate import predict_logits
from .files import kept, progress, read_json, save
from .students import make_student
from .teachers import ADAPTER_LANGUAGES, finetune_teacher, has_trained_head, load_classifier, load_teacher

PROFILES: dict[str, dict[str, Any]] = {
    "slice": {"seeds": [0], "rows": 96, "transfer_size": 160, "epochs": 1, "labels_only_epochs": 1, "teacher_training": "none"},
    "quick": {"seeds": [0], "rows": 1000, "transfer_size": 3000, "epochs": 5, "labels_only_epochs": 10, "teacher_training": "continue"},
    "full": {"seeds": [0, 1, 2], "transfer_size": 10000, "epochs": 3, "labels_only_epochs": 8, "teacher_training": "full"},
}
# Of the packaged teacher, by language, chosen on validation; elsewhere two layers with all of their neurons.
STUDENTS: dict[str, Any] = {"layers": {"zh": [0], "en": [0, 2, 4, 6, 8, 10], "fr": [0]}, "intermediate_size": {"en": 256},
                            "vocabulary_size": {"en": 6500}, "labels_only_learning_rate": {"zh": 1e-4, "en": 1e-4}}  # fmt: skip
KINDS = ("labels_only", "distilled", "labels_then_distilled")
Classifier = tuple[PreTrainedModel, PreTrainedTokenizerFast]


Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Layers = Count | list[int]


def option(default: Any, help: str) -> Any:
    """A field of ``Settings`` with the sentence that the notebook and ``kdlib report --help`` show."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Checked:
    """What frozen dataclasses of options have in common. Raises ``InputError`` for a value of another type than its field's, or outside its range."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name)
            try:
                TypeAdapter(hint).validate_python(value, strict=True)
            except ValidationError as error:
                wanted = " or ".join(dict.fromkeys(problem["msg"].removeprefix("Input should be ") for problem in error.errors()))
                raise InputError(f"{name} is {value!r}: give {wanted} ({self.__dataclass_fields__[name].metadata['help']})") from error

    def fill(self, defaults: dict[str, Any]) -> None:
        """Set what is None."""
        vars(self).update({name: value for name, value in defaults.items() if getattr(self, name) is None})  # though frozen


@dataclass(frozen=True)
class Settings(Checked):
    """Everything that a report depends on; the names are those of the papermill parameters.

    Raises ``InputError`` for a value of another type or outside its range.
    """

    profile: Literal["slice", "quick", "full"] = option("quick", "quick, full (fine-tunes the teacher, three seeds) or slice (a trial).")
    data: str | None = option(None, "Your table: CSV, TSV, JSONL, Parquet, folder, hub id. None: the kit's corpora.")
    transfer: str | None = option(None, "A file of your own unlabelled text for the transfer set.")
    text_column: str | None = option(None, "Column of the text; None: guessed by name.")
    label_column: str | None = option(None, "Column of the label; None: guessed by name.")
    language_column: str | None = option(None, "Column of the language; None: guessed by name.")
    language: str | None = option(None, "The one language of your table, such as en.")
    languages: Annotated[list[str], Field(min_length=1)] | None = option(None, "Languages to make students for. None: all in the data.")
    teacher: str = option("packaged", "packaged, a checkpoint folder or a hub id.")
    teacher_training: Literal["none", "continue", "lora", "full"] | None = option(None, "none, continue (the shipped adapter, on new languages), lora or full."
                                                     " None: the profile's.")  # fmt: skip
    layers: Layers | dict[str, Layers] | None = option(None, "How many layers, which (a list from 0), or a dict by language. None: the kit's.")
    vocabulary: Literal["trim", "full"] = option("trim", "trim (to the pieces that the language uses) or full.")
    embedding_size: Count | None = option(None, "Width of factorised embeddings; None: the teacher's width.")
    intermediate_size: Count | dict[str, Count] | None = option(None, "Neurons kept of each feed-forward block, or a dict by language."
                                                                      " None: the kit's where layers is None too, else all.")  # fmt: skip
    vocabulary_size: Count | dict[str, Count] | None = option(None, "Most pieces of a trimmed vocabulary, or a dict. None: likewise.")
    temperature: float = option(2.0, "T > 0 that softens teacher and student.")
    alpha: float = option(0.7, "Weight of the soft term, 0 to 1.")
    objective: Literal["kl", "ce", "mse"] = option("kl", "Soft term: kl, ce or mse.")
    epochs: Positive | None = option(None, "Epochs of distillation. None: the profile's.")
    learning_rate: Positive = option(3e-4, "Peak learning rate of distillation.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = option(0.0, "Dropout while distilling; what learns from labels alone keeps the teacher's.")
    labels_only_epochs: Positive | None = option(None, "Most epochs of the labels-only student. None: the profile's.")
    labels_only_learning_rate: Positive | dict[str, Positive] | None = option(None, "Peak learning rate of the labels-only student, or a dict"
                                                                                    " by language. None: the kit's, else 3e-4.")  # fmt: skip
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = option(None, "A student of each kind a seed. None: the profile's.")
    transfer_size: Count | None = option(None, "Most texts of the transfer set. None: the profile's.")
    rows: Count | None = option(None, "Most rows of any other split, for a trial. None: the profile's.")
    max_length: Annotated[int, Field(ge=8, le=512)] = option(128, "Tokens after which a text is cut.")
    bf16: bool | None = option(None, "Train with products in bfloat16; weights and losses stay float32. None: where they are fast here.")

    def __post_init__(self) -> None:
        super().__post_init__()
        kit = STUDENTS if self.teacher == "packaged" and self.layers is None else {}
        self.fill({**kit, "bf16": fast_bf16(), **PROFILES[self.profile]})
        self.arguments("distilled", 0, "")

    def arguments(self, kind: str, seed: int, language: str) -> DistillationArguments:
        """The training arguments of one kind of student; the one that starts from labels distils for half as long."""
        labels_only, epochs = kind == "labels_only", float(self.epochs or 1)
        chosen = {"labels_only": float(self.labels_only_epochs or 1), "labels_then_distilled": max(1.0, epochs // 2)}
        rate = self.of("labels_only_learning_rate", language, 3e-4) if labels_only else self.learning_rate
        return DistillationArguments(temperature=self.temperature, alpha=self.alpha, objective=self.objective, seed=seed,
                                     num_train_epochs=chosen.get(kind, epochs), learning_rate=rate, bf16=bool(self.bf16))  # fmt: skip

    def of(self, name: str, language: str, default: Any = None) -> Any:
        """A setting that may differ by language."""
        value = getattr(self, name)
        return value.get(language, default) if isinstance(value, dict) else default if value is None else value


class Outcome(NamedTuple):
    """One model's logits on the test set and on the diagnostic corpus, its training log and where it is saved."""

    logits: dict[str, np.ndarray]
    history: list[dict[str, Any]]
    folder: Path


def digest(*parts: Any) -> str:
    """A short digest of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def fast_bf16() -> bool:
    """Whether this machine has units that multiply matrices in bfloat16: a GPU since Ampere, a processor with AMX or AVX-512 BF16."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(name) for name in ("amx_bf16", "avx512_bf16"))


def load_datasets(settings: Settings) -> dict[str, DatasetDict]:
    """One ``DatasetDict`` a language, cut to ``rows`` and ``transfer_size``; ``diagnostics`` is a fifth split where it fits."""
    if settings.data is None:
        chosen = settings.languages or list(SPLIT_SIZES)
        unknown = ", ".join(language for language in chosen if language not in SPLIT_SIZES)
        require(not unknown, f"The kit has no corpus in {unknown}: choose from {', '.join(SPLIT_SIZES)}, or give your own data.")
        whole = {language: load_reviews(language, transfer=settings.transfer, text_column=settings.text_column) for language in chosen}
    else:
        columns = {name: getattr(settings, name) for name in ("text_column", "label_column", "language_column", "language")}
        table = load_reviews(settings.data, transfer=settings.transfer, **columns)
        present = sorted(set(table["train"]["language"]))
        missing = ", ".join(sorted(set(settings.languages or []) - set(present)))
        require(not missing, f"{settings.data} has no rows in {missing}: it holds {', '.join(present)}.")
        whole = {code: table.filter(lambda row, code=code: row["language"] == code) for code in settings.languages or present}
    for language, splits in whole.items():
        limits = dict.fromkeys(splits, settings.rows) | {"transfer": settings.transfer_size}
        cut = {name: part.take(min(len(part), limits[name] or len(part))) for name, part in splits.items()}
        diagnostics, train = load_diagnostics(language), splits["train"]
        # A teacher whom only the data know cannot be asked about the diagnostic texts.
        if diagnostics and "teacher_logits" not in train.column_names and train.features["label"].names == LABEL_NAMES:
            cut["diagnostics"] = diagnostics
        whole[language] = DatasetDict(cut)
    return whole


def prepare_teacher(settings: Settings, datasets: dict[str, DatasetDict]) -> Classifier:
    """The teacher, fine-tuned where the settings ask for it: on the training rows of all languages together, or
    (``continue``) from the shipped adapter on, for one short epoch, on those of the languages that it has not seen."""
    first = next(iter(datasets.values()))["train"]
    names, given = first.features["label"].names, "teacher_logits" in first.column_names
    training, packaged, shipped = settings.teacher_training, settings.teacher == "packaged", names == LABEL_NAMES
    new = [data for language, data in datasets.items() if language not in ADAPTER_LANGUAGES]
    if training == "continue" and not (packaged and shipped and new):
        training = "none"
    if training == "none" and packaged and not shipped:
        training = "lora"  # the shipped adapter knows other labels
    if training == "none" or given:
        model, tokenizer = load_teacher(settings.teacher, label_names=names)
        require(packaged or given or has_trained_head(model.config), f"{settings.teacher} has no trained head: set teacher_training to lora or full.")
        return model, tokenizer
    set_seed(0)
    goes_on = training == "continue"
    model, tokenizer = load_teacher(settings.teacher, label_names=names, adapter="shipped" if goes_on else None)
    taught = new if goes_on else list(datasets.values())
    texts = [[list(data[split]["text"]), list(data[split]["label"])] for data in taught for split in ("train", "validation")]
    key = digest("teacher", fingerprint(model, tokenizer), training, settings.max_length, settings.bf16, texts)

    def build(folder: Path) -> None:
        train, validation = ([data[split] for data in taught] for split in ("train", "validation"))
        recipe: dict[str, Any] = {"method": "lora", "num_train_epochs": 1, "per_device_train_batch_size": 8} if goes_on else {"method": training}
        tuned = finetune_teacher(model, tokenizer, train, validation, max_length=settings.max_length, bf16=bool(settings.bf16), **recipe)
        save(folder, tuned, tokenizer)

    return load_teacher(kept("teachers", key, build), label_names=names)


def train_student(kind: str, data: DatasetDict, teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, settings: Settings,
                  seed: int) -> Outcome:  # fmt: skip
    """One student of a language: ``labels_only``, ``distilled`` or ``labels_then_distilled``, trained once and kept.

    All three have the same layers and the same start, copied from the teacher. ``data`` carries ``teacher_logits``.
    """
    language = data["test"][0]["language"]
    recipe = {name: settings.of(name, language) for name in asdict(settings) if name not in ("seeds", "languages", "profile", "data")}
    key = digest("student", kind, fingerprint(teacher, tokenizer), {name: data[name].to_dict() for name in data}, recipe, seed)

    def build(folder: Path) -> None:
        corpus = [text for name in ("train", "transfer") for text in data[name]["text"]]
        sizes = settings.embedding_size, *(settings.of(name, language) for name in ("intermediate_size", "vocabulary_size"))
        if kind == "labels_then_distilled":
            model, own_tokenizer = load_student(train_student("labels_only", data, teacher, tokenizer, settings, seed))
        else:
            model, own_tokenizer = make_student(teacher, tokenizer, settings.of("layers", language, 2), settings.vocabulary, corpus, *sizes)
        labelled = data["train"].filter(lambda row: row["label"] >= 0)
        rows = labelled.remove_columns("teacher_logits") if kind == "labels_only" else concatenate_datasets([labelled, data["transfer"]])
        if kind != "labels_only":
            set_dropout(model, settings.dropout)
        set_seed(seed)
        history = train_classifier(model, own_tokenizer, rows, data["validation"], settings.arguments(kind, seed, language), settings.max_length)
        save(folder, model, own_tokenizer)
        tested = [name for name in ("test", "diagnostics") if name in data]
        logits = {name: predict_logits(model, own_tokenizer, data[name]["text"], max_length=settings.max_length) for name in tested}
        save_file(logits, folder / "logits.safetensors")
        (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")

    folder = kept("students", key, build)
    return Outcome(load_file(folder / "logits.safetensors"), read_json(folder / "history.json"), folder)


def train_students(data: DatasetDict, teacher: Classifier, settings: Settings) -> dict[str, list[Outcome]]:
    """Every kind of student of one language, one for each seed."""
    seeds = {kind: progress(settings.seeds, f"{data['train'][0]['language']} student, {kind}, seeds") for kind in KINDS}
    return {kind: [train_student(kind, data, *teacher, settings, seed) for seed in bar] for kind, bar in seeds.items()}


def load_student(outcome: Outcome) -> Classifier:
    """The saved student and its tokenizer, through the Auto classes as anyone would load them."""
    return load_classifier(outcome.folder)


def label_with_teacher(data: DatasetDict, teacher: Classifier, settings: Settings) -> DatasetDict:
    """Teacher outputs for every split but validation, unless the data bring their own (a black-box teacher).

    What students learn from may be computed in bfloat16 (``settings.bf16``); what is judged never is.
    """
    if "teacher_logits" in data["train"].column_names:
        return data
    learnt = {name: bool(settings.bf16) and name in ("train", "transfer") for name in data if name != "validation"}
    labelled = {name: add_teacher_outputs(data[name], *teacher, settings.max_length, bf16=bf16) for name, bf16 in learnt.items()}
    return DatasetDict({**data, **labelled})


def validate(settings: Settings) -> np.ndarray:
    """1 where the distilled student of a seed is right on a validation row, else 0: [seeds, rows of all languages].

    For choosing settings. The validation rows stand in the place of the test rows, which take no part: neither teacher
    nor student sees them. Students are kept, so that a second call only reads.
    """
    datasets = {language: DatasetDict({**data, "test": data["validation"]}) for language, data in load_datasets(settings).items()}
    teacher = prepare_teacher(settings, datasets)
    taught = [label_with_teacher(data, teacher, settings) for data in datasets.values()]
    return np.hstack([[train_student("distilled", data, *teacher, settings, seed).logits["test"].argmax(-1) == np.array(data["test"]["label"])
                       for seed in settings.seeds or []] for data in taught]).astype(int)  # fmt: skip


def tfidf_baseline(data: DatasetDict, language: str) -> Pipeline:
    """TF-IDF and logistic regression: words and word pairs, or one to four characters for Chinese; C chosen on validation."""
    labelled = data["train"].filter(lambda row: row["label"] >= 0)
    characters = {"analyzer": "char", "ngram_range": (1, 4)} if language in ("zh", "ja", "th") else {"ngram_range": (1, 2)}
    tfidf = TfidfVectorizer(sublinear_tf=True, **characters).fit(list(labelled["text"]))
    known, held_out = ((tfidf.transform(list(part["text"])), list(part["label"])) for part in (labelled, data["validation"]))
    models = (LogisticRegression(C=strength, max_iter=2000).fit(*known) for strength in (0.3, 1.0, 3.0, 10.0, 30.0))
    return make_pipeline(tfidf, max(models, key=lambda model: model.score(*held_out)))
