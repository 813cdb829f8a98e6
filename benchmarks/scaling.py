"""What does a text cost beside the teacher, and what do failures cost? The figures that book/scaling.md computes with.

Costs: processor seconds of one thread (what else the machine does does not count) for reading, cutting into tokens, writing and
checking, with a teacher that answers at once; the texts are the kit's diagnostic reviews in three languages, again and again.
Failures: a run of many workers is played through, and the mean time of a shard is held against its formula.

Run: python benchmarks/scaling.py   (a minute on one core; writes benchmarks/results/scaling.json and what the blocks of the page
print; the teacher must be fetched)
"""

import heapq
import io
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch

from kdlib.data import load_diagnostics
from kdlib.evaluate import predict_logits
from kdlib.label import Shard, finished, read_shards, survey, write
from kdlib.measure import environment
from kdlib.teachers import load_teacher

ROOT = Path(__file__).resolve().parent.parent
ROWS, SHARD_SIZE = 8192, 4096
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # code, and what it prints


class Instant(torch.nn.Module):
    """A teacher of two classes that answers at once: what is left is everything but the teacher."""

    config, device = SimpleNamespace(num_labels=2), torch.device("cpu")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """Zeros [batch, 2]."""
        return SimpleNamespace(logits=torch.zeros(len(input_ids), 2))


def processor_seconds(work: Callable[[], Any], repeats: int = 3) -> float:
    """The least that one of ``repeats`` runs takes of the processor."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def measure_costs(rows: int, shard_size: int) -> dict[str, Any]:
    """Microseconds a text for each step, what a text is made of, and seconds that a shard costs however few rows it has."""
    torch.set_num_threads(1)
    own = [text for language in ("zh", "en", "fr") for text in (load_diagnostics(language) or {"text": []})["text"]]
    texts = [f"{own[i % len(own)]} {i}" for i in range(rows)]  # no two alike, or Parquet would store each once
    table = pa.table({"id": [str(i) for i in range(rows)], "text": texts})
    tokenizer: Any = load_teacher()[1]
    teacher: Any = Instant()
    microseconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(table, folder / "texts.parquet")
        pa.csv.write_csv(table, folder / "texts.csv")
        lines = (json.dumps(row, ensure_ascii=False) for row in table.to_pylist())
        (folder / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
        for suffix in ("parquet", "csv", "jsonl"):
            file = folder / f"texts.{suffix}"
            schema, _ = survey([file])
            work = {"survey": lambda file=file: survey([file])}
            work["read"] = lambda file=file, schema=schema: list(read_shards([file], schema, "text", shard_size))
            for step, run in work.items():
                microseconds[f"{step} {suffix}"] = 1e6 * processor_seconds(run) / rows
        microseconds["tokens"] = 1e6 * processor_seconds(lambda: predict_logits(teacher, tokenizer, texts, max_length=128)) / rows
        logits = np.random.default_rng(0).normal(size=(shard_size, 2)).astype(np.float32)
        shard = Shard(table.slice(0, shard_size), texts[:shard_size], [])
        microseconds["write"] = 1e6 * processor_seconds(lambda: write(folder, 0, shard, logits)) / shard_size
        microseconds["check"] = 1e6 * processor_seconds(lambda: finished(folder, 0, shard)) / shard_size
        pq.write_table(pq.read_table(folder / "part-00000.parquet", columns=["teacher_logits"]), folder / "logits.parquet")
        logit_bytes = (folder / "logits.parquet").stat().st_size / shard_size
        one = Shard(table.slice(0, 1), texts[:1], [])
        start = time.perf_counter()  # the disk counts here
        for number in range(50):
            write(folder, number, one, logits[:1])
            finished(folder, number, one)
        seconds = (time.perf_counter() - start) / 50
    tokens = sum(len(row) for row in tokenizer(own, truncation=True, max_length=128)["input_ids"]) / len(own)
    sizes = {"text_bytes": sum(len(text.encode()) for text in own) / len(own), "tokens": tokens, "logit_bytes_in_parquet": logit_bytes}
    return {"rows": rows, "shard_size": shard_size, "microseconds_a_text": microseconds, "a_text": sizes, "seconds_a_shard": seconds}


def expected_seconds(work: float, mtbf: float, restart: float) -> float:
    """What a shard of ``work`` seconds takes in the mean when a worker fails once in ``mtbf`` seconds and then needs ``restart``.

    It fails e^(work / mtbf) − 1 times before it gets through; what is lost and the restarts add up to (mtbf + restart) times that.
    """
    return (mtbf + restart) * math.expm1(work / mtbf)


def young(cost: float, mtbf: float) -> float:
    """Seconds of work between two checkpoints that lose least, for a checkpoint that costs ``cost`` (Young 1974)."""
    return math.sqrt(2 * cost * mtbf)


def daly(cost: float, mtbf: float) -> float:
    """The same with two more terms (Daly 2006, equation 37), for ``cost`` below 2 ``mtbf``."""
    ratio = math.sqrt(cost / (2 * mtbf))
    return young(cost, mtbf) * (1 + ratio / 3 + ratio**2 / 9) - cost


def simulate(shards: int, workers: int, seconds: float, cost: float, mtbf: float, restart: float, seed: int = 0) -> dict[str, float]:
    """Play a run through: who is free takes the next shard; who fails loses what it had, restarts and begins it again."""
    random = np.random.default_rng(seed)
    free = [(0.0, worker) for worker in range(workers)]
    next_failure = random.exponential(mtbf, workers)  # of each worker, in seconds of its own working time from now on
    taken, failures, end = np.zeros(shards), 0, 0.0
    for shard in range(shards):
        clock, worker = heapq.heappop(free)
        while next_failure[worker] < seconds + cost:
            taken[shard] += next_failure[worker] + restart
            next_failure[worker] = random.exponential(mtbf)
            failures += 1
        next_failure[worker] -= seconds + cost
        taken[shard] += seconds + cost
        end = max(end, clock + taken[shard])
        heapq.heappush(free, (clock + taken[shard], worker))
    error = taken.std(ddof=1) / math.sqrt(shards)
    return {"mean": float(taken.mean()), "error": float(error), "failures": failures, "end": end, "busy": float(taken.sum() / (workers * end))}


def run_blocks(page: str) -> str:
    """The page with what its blocks print, run in order from the top folder, where all of them share their names."""
    names: dict[str, Any] = {}
    os.chdir(ROOT)

    def run(block: re.Match[str]) -> str:
        with redirect_stdout(io.StringIO()) as printed:
            exec(block[1], names)
        return f"```python\n{block[1]}```\n\n```text\n{printed.getvalue()}```"

    return BLOCK.sub(run, page)


def main() -> None:
    """Measure the costs, write them, and bring the page in step."""
    report = {**measure_costs(ROWS, SHARD_SIZE), **environment()}
    (ROOT / "benchmarks" / "results" / "scaling.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps(report, indent=1))
    page = ROOT / "book" / "scaling.md"
    page.write_text(run_blocks(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
