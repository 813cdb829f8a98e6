"""What does a student gain in ONNX, in float32 and int8? Time, bytes and agreement, beside PyTorch and the teacher.

Every round times each contestant on the same texts, in turn, so that what else the machine does hits all of them. A time
is from texts to logits, tokenisation included. "32 tokens" are beginnings of real texts, cut after exactly 32.
Run: python benchmarks/deploy.py [language=folder …]   (the quick report's students unless given; two minutes a student on two
cores; writes benchmarks/results/onnx.json)
"""

import importlib.metadata
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import kdlib
from kdlib.evaluate import classify, evaluation_mode, paired_bootstrap
from kdlib.export import FILES, OnnxClassifier, export_onnx, load_classifier, parity
from kdlib.measure import environment

ROUNDS, CALLS = 20, {1: 8, 32: 2}  # timed calls of each contestant in a round, by batch size
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
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            calls = []
            for call in range(CALLS[batch]):
                first = (max(turn, 0) * CALLS[batch] + call) * batch
                chosen = [texts[(first + i) % len(texts)] for i in range(batch)]
                start = time.perf_counter()
                contestants[name](chosen, tokens or 128)
                calls.append(1000 * (time.perf_counter() - start))
            if turn >= 0:
                times[name].append(calls)
    return times


def summary(times) -> dict[str, dict]:
    """Median and p95 in ms, and how many times faster than the teacher, with a 95 % bootstrap interval over rounds."""
    medians = {name: np.median(rounds, axis=1) for name, rounds in times.items()}
    draws = np.random.default_rng(0).integers(0, ROUNDS, size=(2000, ROUNDS))
    result = {}
    for name, rounds in times.items():
        ratios = medians["teacher"] / medians[name]
        low, high = np.quantile(np.median(ratios[draws], axis=1), [0.025, 0.975])
        middle, p95 = np.quantile(rounds, [0.5, 0.95])
        figures = {"median_ms": middle, "p95_ms": p95, "times_faster": float(np.median(ratios)), "interval": [low, high]}
        result[name] = json.loads(json.dumps(figures, default=float))
    return result


def compare(language, folder, teacher, teacher_bytes) -> dict:
    """All figures of one student."""
    student, tokenizer = load_classifier(folder)
    test = kdlib.load_reviews(language)["test"]
    texts, labels = list(test["text"]), np.array(test["label"])
    with tempfile.TemporaryDirectory() as place:
        exported = export_onnx(student, tokenizer, Path(place) / "onnx")
        onnx, int8 = OnnxClassifier(exported, int8=False), OnnxClassifier(exported)
        sizes = {path.name: path.stat().st_size for path in exported.iterdir()}
    beside = sum(sizes[name] for name in FILES - {"model.onnx", "model.int8.onnx", "README.md"})
    own = kdlib.profile_model(student, tokenizer, texts[:1], (1,), repeats=1)["bytes"]
    size = {"teacher": teacher_bytes, "student": own, "ONNX": sizes["model.onnx"] + beside, "int8": sizes["model.int8.onnx"] + beside}
    contestants = {
        "teacher": lambda batch, length: classify(*teacher, batch, length),
        "student": lambda batch, length: classify(student, tokenizer, batch, length),
        "ONNX": lambda batch, length: onnx.predict_logits(batch, len(batch), length),
        "int8": lambda batch, length: int8.predict_logits(batch, len(batch), length),
    }
    reference, same = kdlib.predict_logits(student, tokenizer, texts), {}
    for name, model, batch in (("ONNX", onnx, 64), ("int8", int8, 64), ("int8, batch 1", int8, 1)):
        logits = model.predict_logits(texts, batch)
        gap = paired_bootstrap(logits.argmax(-1) == labels, reference.argmax(-1) == labels)
        same[name] = parity(reference, logits, labels) | {"accuracy_difference": [gap.difference, gap.low, gap.high]}
        print(f"{language} {name}: {same[name]}", flush=True)
    timed = {}
    with evaluation_mode(teacher[0]), evaluation_mode(student):
        for batch, tokens in SETTINGS:
            given = texts[:64] if tokens is None else beginnings(texts, (teacher[1], tokenizer), tokens)
            name = f"batch {batch}, {f'{tokens} tokens' if tokens else 'real texts'}"
            timed[name] = summary(milliseconds(contestants, given, batch, tokens))
            for contestant, figures in timed[name].items():
                low, high = figures["interval"]
                print(f"{language} {name} {contestant}: {figures['median_ms']:.2f} ms, p95 {figures['p95_ms']:.2f}, "
                      f"{figures['times_faster']:.1f} times faster ({low:.1f} to {high:.1f})", flush=True)  # fmt: skip
    shape = {name: getattr(student.config, name) for name in ("num_hidden_layers", "intermediate_size", "vocab_size")}
    smaller = {name: teacher_bytes / bytes_ for name, bytes_ in size.items()}
    return {"student": shape, "test": len(texts), "bytes": size, "times_smaller": smaller, "parity": same, "latency": timed}


def main(*students: str) -> None:
    """Compare every student and write the table."""
    given = dict(student.split("=", 1) for student in students) or {code: f"reports/quick/students/{code}" for code in ("zh", "en", "fr")}
    teacher = kdlib.load_teacher()
    teacher_bytes = kdlib.profile_model(*teacher, ["one text"], (1,), repeats=1)["bytes"]
    languages = {language: compare(language, Path(folder), teacher, teacher_bytes) for language, folder in given.items()}
    result = {"rounds": ROUNDS, "onnxruntime": importlib.metadata.version("onnxruntime"), **environment(), "languages": languages}
    (Path(__file__).parent / "results" / "onnx.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
