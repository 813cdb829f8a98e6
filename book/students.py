"""The students that run in the page: for each language an int8 ONNX file and a tokenizer, and a list of what they and their teacher say.

Run: python book/students.py reports/quick/students OUTPUT [LANGUAGE ...]     (the report must have been written under this KDLIB_HOME)
"""

import json
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from vendor import vendor

from kdlib import experiment
from kdlib.distill import add_teacher_outputs
from kdlib.errors import require
from kdlib.evaluate import agreement
from kdlib.export import OnnxClassifier, export_onnx
from kdlib.files import packaged, read_json, written_aside
from kdlib.teachers import load_classifier

TOKENS = 128  # what the students read in training, and all that the page gives them (student.js)
MODEL, FILES = "model.int8.onnx", ("model.int8.onnx", "tokenizer.json", "config.json")
ENGINE = ("onnxruntime-web", "@huggingface/tokenizers")  # what runs a student, downloaded once for all languages
# The phenomena that the examples show; for each whether the student is to be right, and of which class the text is rather to be.
EXAMPLES = {"plain": (True, "positive"), "negation": (False, "positive"), "contrast": (True, "negative"), "irony": (False, "negative"),
            "emoji": (True, "positive"), "comparison": (False, "negative"), "code_mixing": (True, "negative"),
            "understatement": (False, "positive")}  # fmt: skip


def publish(students: Path, folder: Path, languages: Sequence[str] | None = None) -> dict[str, Any]:
    """Write the students of a report for the page, and return what ``students.json`` says of them.

    ``students`` is the folder that ``kdlib report`` wrote, one checkpoint a language, with ``metrics.json`` beside it.
    ``folder`` becomes new as a whole: ``<language>/`` with `FILES`, and ``students.json``. ``languages`` leaves out the others:
    the French student, for example, learned from reviews that are for personal use. Raises ``InputError`` for a language without a student,
    and for a report on other data than the kit's.
    """
    report = read_json(students.parent / "metrics.json")
    chosen = list(report["languages"]) if languages is None else list(languages)
    missing = ", ".join(language for language in chosen if not (students / language / "config.json").is_file())
    require(not missing, f"{students} has no student for {missing}: choose from {', '.join(report['languages'])}.")
    said = teacher_answers(report["settings"]) if chosen else {}
    with written_aside(folder, folder=True) as aside:
        parts = {language: publish_one(students / language, aside / language, said[language]) for language in chosen}
        facts = {language: facts_of(language, report["languages"][language]) | parts[language] for language in chosen}
        engine = sum(path.stat().st_size for name in ENGINE for path in vendor(name).iterdir() if path.name != "LICENSE")
        result = {"profile": report["profile"], "engine": {"bytes": engine}, "languages": facts}
        write_compact(aside / "students.json", result)
    return result


def publish_one(student: Path, folder: Path, diagnostics: Dataset) -> dict[str, Any]:
    """Export one student into ``folder``; what its int8 file says of the diagnostic texts, one text at a time, and the bytes of its files."""
    with tempfile.TemporaryDirectory() as scratch:
        model, tokenizer = load_classifier(student)
        cut_positions(model)
        exported = export_onnx(model, tokenizer, Path(scratch) / "onnx")
        texts = list(diagnostics["text"])
        float32, int8 = (OnnxClassifier(exported, int8=int8).predict_logits(texts, batch_size=1) for int8 in (False, True))
        folder.mkdir()
        (folder / MODEL).write_bytes((exported / MODEL).read_bytes())
        for name in ("tokenizer.json", "config.json"):
            write_compact(folder / name, read_json(exported / name))
    files = {name: (folder / name).stat().st_size for name in FILES}
    same = {"n": len(texts), "agreement": agreement(float32, int8)}
    return {"files": files, "bytes": sum(files.values()), "int8": same, "examples": choose_examples(diagnostics, int8)}


def cut_positions(model: Any) -> None:
    """Drop the embeddings of positions that the page never reaches: it reads `TOKENS` tokens of a text. The logits of these stay the same."""
    embeddings = model.base_model.embeddings
    table = embeddings.position_embeddings
    table.weight = torch.nn.Parameter(table.weight[:TOKENS].detach())
    table.num_embeddings = model.config.max_position_embeddings = len(table.weight)
    embeddings.position_ids = embeddings.position_ids[:, :TOKENS]


def choose_examples(diagnostics: Dataset, logits: np.ndarray) -> list[dict[str, Any]]:
    """One short text for each of `EXAMPLES`: half of them such that the student is wrong, and its teacher right where that can be had."""
    names = diagnostics.features["label"].names
    answered = diagnostics.add_column("student_logits", logits.tolist())
    rows = [row for row in answered.to_list() if row["label"] < logits.shape[1]]  # a mixed text has no class

    def right(row: dict[str, Any], who: str) -> bool:
        return int(np.argmax(row[who])) == row["label"]

    def rank(row: dict[str, Any], wanted: bool, label: str) -> tuple[bool, bool, bool, int]:
        other = names[row["label"]] != label
        return right(row, "student_logits") != wanted, not right(row, "teacher_logits"), other, len(row["text"])

    found = []
    for phenomenon, wish in EXAMPLES.items():
        row = min((row for row in rows if row["phenomenon"] == phenomenon), key=lambda row: rank(row, *wish))
        kept = ("id", "text", "phenomenon", "teacher_logits", "student_logits")
        found.append({name: row[name] for name in kept} | {"label": names[row["label"]]})
    return found


def teacher_answers(settings: dict[str, Any]) -> dict[str, Dataset]:
    """The diagnostic texts of each language with the logits of the report's own teacher, which are read where the report kept them."""
    own = experiment.Settings(**settings)
    datasets = experiment.load_datasets(own)
    strange = ", ".join(language for language, data in datasets.items() if "diagnostics" not in data)
    require(not strange, f"The report is on other data than the kit's ({strange}): run make report, which uses the kit's.")
    teacher = experiment.prepare_teacher(own, datasets)
    return {language: add_teacher_outputs(data["diagnostics"], *teacher, own.max_length) for language, data in datasets.items()}


def facts_of(language: str, figures: dict[str, Any]) -> dict[str, Any]:
    """What is known of a student: its size, its and its teacher's accuracy with 95 % intervals, what it learned from and on which terms."""
    source = tomllib.loads(packaged("data", "sources.toml").read_text(encoding="utf-8"))[language]
    models = {name: figures[key] for name, key in (("teacher", "teacher"), ("student", "student_distilled"))}
    kept = ("parameters", "accuracy", "accuracy_interval", "n")
    facts = {name: {key: model[key] for key in kept} for name, model in models.items()}
    terms = {"source": source["requirement"], "licence": source["licence"], "terms": source["terms"]}
    learned = {"labelled": figures["data"]["train"], "unlabelled": figures["data"]["transfer"], **terms}
    return facts | {"learned_from": learned | {"personal_use": "personal use" in source["licence"]}}


def write_compact(path: Path, content: Any) -> None:
    """JSON without white space: the page downloads it."""
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for name, student in publish(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or None)["languages"].items():
        print(f"{name}: {student['bytes'] / 1e6:.2f} MB ({', '.join(f'{file} {size:,}' for file, size in student['files'].items())})")
