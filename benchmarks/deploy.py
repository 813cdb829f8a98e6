"""What does a student gain in ONNX, in float32 and int8? Time, bytes and agreement, beside PyTorch and the teacher; and which reach the goals?

Every round times each contestant on the same texts, in turn, so that what else the machine does hits all of them. A time
is from texts to logits, tokenisation included. "32 tokens" are beginnings of real texts, cut after exactly 32.
Run: python benchmarks/deploy.py [language=folder …] [--layers 1 2 3]   (the quick report's students unless given, several of a
language side by side; --layers adds students of so many whole layers, which learn as in the quick report and are kept under
KDLIB_HOME. Two to four minutes a language on two cores, and one for a student that has to learn; writes benchmarks/results/onnx.json)
"""

import argparse
import importlib.metadata
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict
from side_by_side import middle

import kdlib
from kdlib.evaluate import classify, evaluate, evaluation_mode, paired_bootstrap
from kdlib.experiment import Classifier, Settings, label_with_teacher, load_datasets, prepare_teacher, train_student
from kdlib.export import FILES, OnnxClassifier, export_onnx, load_classifier, parity
from kdlib.measure import environment

GOALS = {"times_faster": 40, "times_smaller": 100, "agreement": 0.99, "accuracy_difference": 0.005}  # of int8; the last either way
ROUNDS, CALLS = 8, {1: 8, 32: 2}  # timed calls of each contestant in a round, by batch size
SETTINGS = [(batch, tokens) for tokens in (32, 64, None) for batch in CALLS]  # None: real texts, cut after 128 tokens


def beginnings(texts, tokenizers, tokens) -> list[str]:
    """64 beginnings of runs of real texts that give every tokenizer ``tokens`` tokens and at most a few more, which are cut."""
    made, run = [], ""
    for text in texts:
        run = f"{run} {text}".strip()
        spans = [tokenizer(run, return_offsets_mapping=True)["offset_mapping"] for tokenizer in tokenizers]
        if min(map(len, spans)) > tokens + 4:
            made.append(run[: max(ends[tokens + 2][1] for ends in spans)])
            run = ""
        if len(made) == 64:
            break
    lengths = {len(tokenizer(text, truncation=True, max_length=tokens)["input_ids"]) for tokenizer in tokenizers for text in made}
    assert lengths == {tokens}, lengths
    return made


def milliseconds(contestants, texts, batch, tokens) -> dict[str, list[list[float]]]:
    """By contestant: for each round the times of its calls."""
    times = {name: [] for name in contestants}
    for turn in range(-1, ROUNDS):  # the first warms up
        names = list(contestants)
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            calls = []
            for call in range(CALLS[batch]):
                begin = (max(turn, 0) * CALLS[batch] + call) * batch
                chosen = [texts[(begin + i) % len(texts)] for i in range(batch)]
                start = time.perf_counter()
                contestants[name](chosen, tokens or 128)
                calls.append(1000 * (time.perf_counter() - start))
            if turn >= 0:
                times[name].append(calls)
    return times


def summary(times) -> dict[str, dict]:
    """Median and p95 in ms, and how many times faster than the teacher, with a 95 % bootstrap interval over rounds."""
    medians = {name: np.median(rounds, axis=1) for name, rounds in times.items()}
    result = {}
    for name, rounds in times.items():
        faster, (half, p95) = middle(medians["teacher"] / medians[name]), np.quantile(rounds, [0.5, 0.95])
        result[name] = {"median_ms": float(half), "p95_ms": float(p95), "times_faster": faster["median"], "interval": faster["interval"]}
    return result


def compare(data: DatasetDict, teacher: Classifier, teacher_bytes: int, students: dict[str, Classifier], folder: Path) -> dict[str, Any]:
    """All figures of one language; ``data`` carries the teacher's logits."""
    language, tests = data["test"][0]["language"], {"test": data["test"]}
    if "diagnostics" in data:
        tests["diagnostics"] = data["diagnostics"].filter(lambda row: row["label"] < 2)
    names = data["test"].features["label"].names
    judged = {name: np.array(part["teacher_logits"]) for name, part in tests.items()}
    result: dict[str, Any] = {"teacher": {"bytes": teacher_bytes, **accuracy(tests["test"], judged["test"], names)}, "students": {}}
    contestants = {"teacher": lambda batch, length: classify(*teacher, batch, length)}
    for name, (student, tokenizer) in students.items():
        exported = export_onnx(student, tokenizer, folder / language / name)
        sizes = {path.name: path.stat().st_size for path in exported.iterdir()}
        beside = sum(sizes[file] for file in FILES - {"model.onnx", "model.int8.onnx", "README.md"})
        own = kdlib.profile_model(student, tokenizer, tests["test"]["text"][:1], (1,), repeats=1)["bytes"]
        size = {"PyTorch": own, "ONNX": sizes["model.onnx"] + beside, "int8": sizes["model.int8.onnx"] + beside}
        onnx, int8 = OnnxClassifier(exported, int8=False), OnnxClassifier(exported)
        same: dict[str, Any] = {}
        for split, part in tests.items():
            reference, labels = kdlib.predict_logits(student, tokenizer, part["text"]), np.array(part["label"])
            for kind, model, batch in (("ONNX", onnx, 64), ("int8", int8, 64), ("int8, batch 1", int8, 1)):
                logits = model.predict_logits(part["text"], batch)
                gap = paired_bootstrap(logits.argmax(-1) == labels, reference.argmax(-1) == labels)
                same[f"{split}, {kind}"] = parity(reference, logits, labels) | {"accuracy_difference": list(gap)}
                if (split, kind) == ("test", "int8, batch 1"):
                    quality = accuracy(part, logits, names)
                    quality["below_teacher"] = list(paired_bootstrap(judged["test"].argmax(-1) == labels, logits.argmax(-1) == labels))
        shape = {part: getattr(student.config, part) for part in ("num_hidden_layers", "intermediate_size", "vocab_size")}
        smaller = {kind: teacher_bytes / bytes_ for kind, bytes_ in size.items()}
        result["students"][name] = {"shape": shape, "bytes": size, "times_smaller": smaller, "int8": quality, "parity": same}
        contestants |= {
            f"{name}, PyTorch": lambda batch, length, model=student, cut=tokenizer: classify(model, cut, batch, length),
            f"{name}, ONNX": lambda batch, length, model=onnx: model.predict_logits(batch, len(batch), length),
            f"{name}, int8": lambda batch, length, model=int8: model.predict_logits(batch, len(batch), length),
        }
    result["latency"] = {}
    tokenizers = [teacher[1], *(tokenizer for _, tokenizer in students.values())]
    for model, _ in (teacher, *students.values()):
        model.eval()
    with evaluation_mode(teacher[0]):  # no gradients, for whichever model runs
        for batch, tokens in SETTINGS:
            given = tests["test"]["text"][:64] if tokens is None else beginnings(tests["test"]["text"], tokenizers, tokens)
            setting = f"batch {batch}, {f'{tokens} tokens' if tokens else 'real texts'}"
            result["latency"][setting] = summary(milliseconds(contestants, list(given), batch, tokens))
            for contestant, figures in result["latency"][setting].items():
                low, high = figures["interval"]
                print(f"{language}, {setting}, {contestant}: {figures['median_ms']:.2f} ms, p95 {figures['p95_ms']:.2f}, "
                      f"{figures['times_faster']:.1f} times faster ({low:.1f} to {high:.1f})", flush=True)  # fmt: skip
    for name, figures in result["students"].items():
        figures["reached"] = reached(figures, {setting: times[f"{name}, int8"] for setting, times in result["latency"].items()})
    return result


def accuracy(part, logits, names) -> dict[str, Any]:
    """The share of right texts, with its interval."""
    found = evaluate(part["label"], logits, names)
    return {"n": found.n, "accuracy": found.accuracy, "accuracy_interval": list(found.accuracy_interval)}


def reached(student: dict[str, Any], times: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Which goals a student in int8 reaches: speed at batch 1 with its whole interval, parity on every test set, one text at a time."""
    result = {f"faster at {tokens} tokens": times[f"batch 1, {tokens} tokens"]["interval"][0] >= GOALS["times_faster"] for tokens in (32, 64)}
    result["smaller"] = student["times_smaller"]["int8"] >= GOALS["times_smaller"]
    for setting, same in student["parity"].items():
        if setting.endswith("int8, batch 1"):
            split, near = setting.split(",")[0], abs(same["accuracy_difference"][0]) <= GOALS["accuracy_difference"]
            result |= {f"agreement, {split}": same["agreement"] >= GOALS["agreement"], f"accuracy, {split}": near}
    return result


def main() -> None:
    """Compare every student and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("students", nargs="*", metavar="language=folder", help="several of one language are compared side by side")
    parser.add_argument("--layers", nargs="+", type=int, default=[], help="train students of so many layers as well")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "onnx.json")
    args = parser.parse_args()
    pairs = [given.split("=", 1) for given in args.students] or [(code, f"reports/quick/students/{code}") for code in ("zh", "en", "fr")]
    codes = list(dict.fromkeys(code for code, _ in pairs))
    datasets = load_datasets(Settings())
    teacher = prepare_teacher(Settings(), datasets)
    teacher_bytes = kdlib.profile_model(*teacher, ["one text"], (1,), repeats=1)["bytes"]
    languages = {}
    with tempfile.TemporaryDirectory() as folder:
        for code in codes:
            whole = load_datasets(Settings(languages=[code], rows=10_000))[code]  # every test row, the training rows of the quick profile
            data = DatasetDict({**datasets[code], "test": whole["test"]})
            data = label_with_teacher(data, teacher, Settings())
            students = {}
            for place in (place for given, place in pairs if given == code):
                name = name_of(student := load_classifier(place))
                students[f"{name} ({place})" if name in students else name] = student
            for count in args.layers:
                chosen = Settings(layers=[i * teacher[0].config.num_hidden_layers // count for i in range(count)])
                student = load_classifier(train_student("distilled", data, *teacher, chosen, 0).folder)
                students.setdefault(name_of(student), student)
            languages[code] = compare(data, teacher, teacher_bytes, students, Path(folder))
            for name, figures in languages[code]["students"].items():
                print(f"{code}, {name}, int8: {100 * figures['int8']['accuracy']:.1f} %, {figures['reached']}", flush=True)
    result = {"goals": GOALS, "rounds": ROUNDS, "onnxruntime": importlib.metadata.version("onnxruntime"), **environment(), "languages": languages}
    args.output.write_text(json.dumps(result, indent=1), encoding="utf-8")


def name_of(student: Classifier) -> str:
    """Its layers and the width of their feed-forward blocks."""
    config = student[0].config
    return f"{config.num_hidden_layers} layer{'s' * (config.num_hidden_layers > 1)} with {config.intermediate_size} neurons"


if __name__ == "__main__":
    main()
