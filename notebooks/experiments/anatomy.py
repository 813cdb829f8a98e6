"""The table of notebook 11: which student? A row is one student, trained and judged as the others but for what the row names.

The common recipe: 1,000 labelled and 3,000 transfer texts (748 labelled in French), three epochs, the loss of notebook 03, the best epoch by
validation accuracy. ``base`` is the teacher's first layer with 256 of its neurons and embeddings of width 128; ``reference`` has the shape of
notebook 07's student, but two layers in English. What a row does not name is as in the reference.
"""

import tempfile
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from datasets import concatenate_datasets
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from torch import nn
from transformers import set_seed

from kdlib import experiment, files
from kdlib.distill import DistillationArguments, add_teacher_outputs, fingerprint, set_dropout, train_classifier
from kdlib.evaluate import predict_logits
from kdlib.export import OnnxClassifier, export_onnx
from kdlib.teachers import load_classifier

from .anatomy_parts import copy_features, freeze, make
from .table import right, taught

REFERENCE: dict[str, dict[str, Any]] = {"zh": {"layers": [0]}, "fr": {"layers": [0]},
                                        "en": {"layers": [0, 6], "intermediate_size": 256, "vocabulary_size": 6500}}  # fmt: skip
BASE = {"layers": [0], "intermediate_size": 256, "embedding_size": 128}
TINY = {"layers": [0], "intermediate_size": 64, "embedding_size": 32}


def rows(question: str, variant: str, languages: str = "zh", seeds: int = 3, of: Any = BASE, **changes: Any) -> list[dict[str, Any]]:
    """The rows of one variant: it differs from ``of`` by ``changes``."""
    pairs = product(languages.split(), range(seeds))
    return [{"question": question, "variant": variant, "language": language, "seed": seed, **of, **changes} for language, seed in pairs]


VARIANTS = [  # the most important first; three seeds where means are compared
    *rows("base", "base", "zh en fr"),
    *rows("teacher", "teacher", "zh en fr", 1, {}),
    *rows("reference", "reference", "zh en fr", 3, {}),
    *rows("report", "notebook 07", "zh en fr", 1, {}),
    *rows("goal", "one layer, embeddings 128", "zh", 3, {}, embedding_size=128, epochs=5),
    *rows("goal", "two teachers, embeddings 128", "fr", 3, {}, by="both", embedding_size=128, epochs=5),
    *rows("goal", "four thin layers, embeddings 96", "en", layers=[0, 2, 4, 6], intermediate_size=192, embedding_size=96),
    *rows("goal", "the same, 10,000 transfer texts", "en", 1, layers=[0, 2, 4, 6], intermediate_size=192, embedding_size=96, by="more"),
    *rows("shape", "BiLSTM, small", "zh en fr", 3, {}, kind="bilstm", embedding_size=32, hidden_size=64),
    *rows("start", "random", "zh en", start="random"),
    *rows("teachers", "two teachers", "zh fr", by="both"),
    *rows("layers", "last one", layers=[11]),
    *rows("trained", "LoRA, rank 8", trained="lora", rank=8, learning_rate=1e-3),
    *rows("trained", "head only", trained="head", learning_rate=1e-3),
    *rows("features", "more soft targets", start="random", feature="logits"),
    *(row for feature in ("hidden", "relations") for row in rows("features", feature, start="random", feature=feature)),
    *rows("shape", "tiny", "zh en fr", 3, TINY),
    *rows("start", "only embeddings from the teacher", start="embeddings"),
    *rows("teachers", "born again", by="itself"),
    *rows("teachers", "assistant, tiny student", "en", 3, TINY, by="assistant"),
    *rows("trained", "adapters, width 32", seeds=1, trained="adapter", rank=32, learning_rate=1e-3),
    *rows("trained", "LoRA, rank 1", seeds=1, trained="lora", rank=1, learning_rate=1e-3),
    *rows("layers", "middle one", seeds=1, layers=[5]),
    *rows("layers", "first two", "zh en", 1, layers=[0, 1]),
    *(row for size in (64, 1024) for row in rows("size", f"neurons {size}", seeds=1, intermediate_size=size)),
    *(row for size in (16, 48) for row in rows("size", f"embeddings {size}", seeds=1, embedding_size=size)),
    *(row for size in (1000, 4000) for row in rows("size", f"pieces {size}", seeds=1, vocabulary_size=size)),
    *(row for feature in ("attention", "cosine") for row in rows("features", feature, seeds=1, start="random", feature=feature)),
    *rows("features", "hidden, mapped to layer 1", seeds=1, start="random", feature="hidden", teacher_layer=1),
    *rows("teachers", "progressive", seeds=1, dropped=[[0, 1, 2], [0, 1], [0]]),
    *rows("size", "narrow", seeds=1, start="random", width=128),
    *rows("features", "narrow, hidden", seeds=1, start="random", width=128, feature="hidden"),
]
ROWS = sorted(VARIANTS, key=lambda row: row["seed"])  # a first seed of everything, then the others


def figures(question: str, variant: str, language: str, seed: int, **changes: Any) -> dict[str, Any]:
    """Train one student and judge it on the test set; the validation texts are for choosing between variants."""
    data, teacher, _ = taught(language)
    if question in ("base", "teacher"):
        model, tokenizer = teacher if question == "teacher" else kept_base(language, seed)
    elif question == "report":
        model, tokenizer = report_student(language)
    else:
        model, tokenizer = student(language, seed, **{**REFERENCE[language], **changes})
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    model = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model  # LoRA leaves a plain student
    held_out = right(data["validation"]["label"], predict_logits(model, tokenizer, data["validation"]["text"]))["accuracy"]
    test = data["test"]["text"], data["test"]["label"]
    logits = data["test"]["teacher_logits"] if question == "teacher" else predict_logits(model, tokenizer, test[0])
    found = {"parameters": model.num_parameters(), "trained": trained, "validation": held_out, **right(test[1], logits)}
    if question in ("base", "reference", "goal") and seed == 0:  # and once in eight bits
        with tempfile.TemporaryDirectory() as folder:
            export_onnx(model, tokenizer, folder + "/int8")
            small = OnnxClassifier(folder + "/int8", threads=1).predict_logits(test[0])
            found |= {"int8_bytes": Path(folder, "int8", "model.int8.onnx").stat().st_size, "int8_accuracy": right(test[1], small)["accuracy"]}
    return found


def student(language: str, seed: int, by: str = "teacher", dropped: Any = None, feature: str | None = None, teacher_layer: int = 12,
            trained: str = "all", rank: int = 8, epochs: int = 3, learning_rate: float = 3e-4, **shape: Any) -> tuple[Any, Any]:  # fmt: skip
    """A trained student and its tokenizer."""
    data, _, settings = taught(language)
    lessons, bilstm = lesson(language, by, seed), shape.get("kind") == "bilstm"
    model, tokenizer = make(language, seed, **{**shape, "layers": (dropped or [shape.get("layers")])[0]})
    set_seed(seed)
    if feature:
        copy_features(model, tokenizer, language, feature, teacher_layer)
    model = freeze(model, trained, rank)
    set_dropout(model, 0.1 if bilstm else 0.0)
    arguments: Any = {"learning_rate": 1e-3 if bilstm else learning_rate, "seed": seed, "bf16": bool(settings.bf16) and not bilstm}
    for before, now in zip([None, *(dropped or [])], dropped or [None], strict=False):  # with ``dropped``: an epoch, then fewer layers
        if before and now:
            encoder, model.config.num_hidden_layers = model.base_model.encoder, len(now)
            encoder.layer = nn.ModuleList(layer for number, layer in zip(before, encoder.layer, strict=True) if number in now)
        train_classifier(model, tokenizer, lessons, data["validation"], DistillationArguments(num_train_epochs=1 if now else epochs, **arguments))
    return model, tokenizer


@cache
def lesson(language: str, by: str, seed: int) -> Any:
    """Labelled and transfer texts with the outputs of who teaches: the teacher (``more``: on more texts), a student, or the mean of two teachers."""
    data = taught(language, 10_000 if by == "more" else None)[0]
    both = concatenate_datasets([data["train"], data["transfer"]])
    if by in ("teacher", "more"):
        return both
    if by == "itself":
        return add_teacher_outputs(both, *kept_base(language, seed))
    if by == "assistant":
        return add_teacher_outputs(both, *report_student(language))
    second = experiment.tfidf_baseline(data, language)  # on its own training texts it is too sure of itself: ask one that has not seen them
    unseen = cross_val_predict(clone(second), list(data["train"]["text"]), list(data["train"]["label"]), cv=5, method="predict_log_proba")
    opinions = log_softmax(np.array(both["teacher_logits"]), -1), np.vstack([unseen, second.predict_log_proba(list(data["transfer"]["text"]))])
    mixed = np.logaddexp(*opinions) - np.log(2)
    return both.remove_columns("teacher_logits").add_column("teacher_logits", mixed.astype(np.float32).tolist())


def kept_base(language: str, seed: int) -> tuple[Any, Any]:
    """The base student of a language and seed: trained once, then read from disk."""
    data, teacher, _ = taught(language)

    def build(folder: Path) -> None:
        files.save(folder, *student(language, seed, **{**REFERENCE[language], **BASE}))

    texts = [list(data[split]["text"]) for split in ("train", "transfer", "validation")]
    return load_classifier(files.kept("anatomy", experiment.digest(fingerprint(*teacher), texts, seed, BASE), build))


def report_student(language: str) -> tuple[Any, Any]:
    """The distilled student of the report (profile quick), trained there for five epochs."""
    data, teacher, settings = taught(language)
    return experiment.load_student(experiment.train_student("distilled", data, *teacher, settings, 0))
