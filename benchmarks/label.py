"""What does `kdlib label` cost over bare batched inference, and how much memory does it take at a million rows?

Time: the packaged teacher on real reviews; the bare loop cuts all texts in one call, sorts them by length and runs the model
batch after batch, with nothing read or written. The start (loading the teacher, its fingerprint) is measured and taken off.
Memory: a teacher of two tiny layers, so that a million rows take minutes; a process of its own for each size, the peak of it
less what it held once the teacher was loaded. Of the same rows as Parquet in one row group, and as CSV.

Run: python benchmarks/label.py [texts] [rounds] [rows ...]   (2048 3 10000 100000 1000000 unless given; half an hour on two cores)
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch
from transformers import BertConfig, BertForSequenceClassification

import kdlib
from kdlib.label import label_files, load_labeller
from kdlib.measure import environment
from kdlib.packaged import unigram_tokenizer
from kdlib.profile import peak_memory

GOALS = {"ratio": 1.03, "megabytes": 200}
WORDS = ["good", "bad", "film", "book", "the", "a", "not", "very", "at", "all", "dull", "great", "我", "喜欢", "mauvais", "excellent"]


def bare_seconds(texts: list[str]) -> float:
    """The teacher, loaded before, over length-sorted batches of 64."""
    model, tokenizer = load_labeller("packaged", 128)
    start = time.perf_counter()
    rows = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    order = np.argsort([len(row) for row in rows], kind="stable")
    logits = torch.zeros(len(texts), model.config.num_labels)
    with torch.inference_mode():
        for first in range(0, len(texts), 64):
            batch = order[first : first + 64]
            padded = tokenizer.pad({"input_ids": [rows[i] for i in batch]}, return_tensors="pt").to(model.device)
            logits[batch] = model(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits.cpu()
    return time.perf_counter() - start


def label_seconds(texts: list[str]) -> float:
    """``label_files`` from a Parquet file to a Parquet file, all included."""
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.table({"text": texts}), f"{folder}/texts.parquet")
        start = time.perf_counter()
        label_files(f"{folder}/texts.parquet", f"{folder}/output")
        return time.perf_counter() - start


def measure_overhead(count: int, rounds: int) -> dict:
    """Ratios of what ``label_files`` takes for all texts more than for one, to ``bare_seconds``."""
    texts = [text for language in ("en", "zh") for text in kdlib.load_reviews(language)["transfer"]["text"][: count // 2]]
    rows = []
    for turn in range(rounds + 1):
        bare, labelled, start = bare_seconds(texts), label_seconds(texts), label_seconds(texts[:1])
        row = {"bare": bare, "label": labelled, "start_up": start, "ratio": (labelled - start) / bare}
        print(row, "" if turn else "(warm-up)", flush=True)
        rows += [row] if turn else []
    return {"texts": len(texts), "rounds": rows, "median_ratio": statistics.median(row["ratio"] for row in rows)}


def save_tiny_teacher(folder: Path, words: Sequence[str] = WORDS) -> None:
    """Two layers of 16 with random weights, and a tokenizer that knows ``words``."""
    pieces = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")] + [("▁" + word, -3.0) for word in words]
    tokenizer = unigram_tokenizer(pieces, [0, 2, 1, 3], model_max_length=128)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, pad_token_id=1)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_rows(file: Path, count: int) -> None:
    """``count`` rows with a text of 5 to 24 words, and an id; Parquet in a single row group."""
    generator = np.random.default_rng(0)
    texts = [" ".join(words) for words in (generator.choice(WORDS, generator.integers(5, 25)) for _ in range(min(count, 10_000)))]
    table = pa.table({"id": range(count), "text": [f"{texts[i % len(texts)]} {i}" for i in range(count)]})
    if file.suffix == ".parquet":
        pq.write_table(table, file, row_group_size=count)
    else:
        pa.csv.write_csv(table, file)


def measure_memory(file: str, teacher: str) -> None:
    """In a process of its own: print rows, megabytes with the teacher loaded, megabytes at the peak, and seconds."""
    model, tokenizer = load_labeller(teacher, 128)
    model(**tokenizer(WORDS, padding=True, return_tensors="pt"))
    loaded, start = psutil.Process().memory_info().rss / 1e6, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = label_files(file, f"{folder}/output", teacher)["rows"]
    peak = max(peak_memory(torch.device("cpu")), loaded)
    result = {"rows": rows, "loaded_mb": loaded, "peak_mb": peak, "above_mb": peak - loaded, "seconds": time.perf_counter() - start}
    print(json.dumps({"format": Path(file).suffix[1:], **result}))


def main(count: int = 2048, rounds: int = 3, *sizes: int) -> None:
    """Measure both and write them."""
    memory = []
    with tempfile.TemporaryDirectory() as folder:
        save_tiny_teacher(Path(folder, "teacher"))
        for rows in sizes or (10_000, 100_000, 1_000_000):
            for suffix in (".parquet", ".csv"):
                file = Path(folder, f"rows{suffix}")
                write_rows(file, rows)
                command = [sys.executable, __file__, "memory", str(file), str(Path(folder, "teacher"))]
                memory.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))
                print(memory[-1], flush=True)
    report = {"goals": GOALS, "overhead": measure_overhead(count, rounds), "memory": memory, **environment()}
    (Path(__file__).parent / "results" / "label.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        measure_memory(*sys.argv[2:])
    else:
        main(*map(int, sys.argv[1:]))
