"""How fast does the service of examples/service answer, a hundred times a second?

A student is exported and served by a process of its own; requests of one real review each arrive at random, on average so many a
second, whether or not those before them have been answered. A latency runs from the time at which its request was due, so that
what delays the client counts too, to the whole answer. Client and service share the machine. The service's own environment
variables (MODEL_FILE, THREADS, MAX_WAIT_MS, ...) hold here too.

Run: python benchmarks/service.py [folder] [language] [requests] [rate]   (reports/quick/students/zh zh 10000 100 unless given: two
minutes; writes benchmarks/results/service.json)
"""

import asyncio
import collections
import gc
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import psutil

import kdlib
from kdlib.export import export_onnx, load_classifier
from kdlib.measure import environment

APP = Path(__file__).parent.parent / "examples" / "service" / "app.py"
WARM_UP = 200  # requests before those that count
SETTINGS = {"MODEL_FILE": "model.int8.onnx", "THREADS": "1", "MAX_BATCH": "32", "MAX_WAIT_MS": "2", "MAX_PENDING": "512"}


def start(student: Path, log: Path, settings: dict[str, str]) -> tuple[subprocess.Popen, str]:
    """A service on a free port, and its address."""
    with log.open("wb") as target:
        given = os.environ | settings | {"STUDENT": str(student), "PORT": "0"}
        process = subprocess.Popen([sys.executable, str(APP)], env=given, stderr=target)
    while not (found := re.search(r"running on (http://\S+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    return process, found[1]


async def load(address: str, texts: list[str], count: int, rate: float) -> tuple[list[float], collections.Counter[str]]:
    """Latencies in ms of the answers 200 after the warm-up, and what else came.

    The client is twenty lines on sockets, with connections that stay open: it shares the machine with what it measures, and a
    general one costs as much processor time as the service does.
    """
    latencies, errors, loop, idle = [], collections.Counter(), asyncio.get_running_loop(), []
    host, port = re.findall(r"//(.+):(\d+)", address)[0]

    async def post(body: bytes) -> str:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(host, port)
        writer.write(b"POST /classify HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        await reader.readexactly(int(re.findall(r"content-length: (\d+)", head)[0]))
        idle.append((reader, writer))
        return head.split()[1]

    async def ask(i: int, due: float) -> None:
        try:
            outcome = await post(json.dumps({"texts": [texts[i % len(texts)]]}).encode())
        except (OSError, asyncio.IncompleteReadError) as error:
            outcome = type(error).__name__
        if outcome != "200":
            errors[outcome] += 1
        elif i >= WARM_UP:
            latencies.append(1000 * (loop.time() - due))

    times = np.random.default_rng(0).exponential(1 / rate, WARM_UP + count).cumsum()
    gc.collect()
    gc.freeze()  # what kdlib and PyTorch have brought: passing over it would stop the client for a tenth of a second
    begin = loop.time()
    async with asyncio.TaskGroup() as group:
        for i, due in enumerate(begin + times):
            await asyncio.sleep(due - loop.time())
            group.create_task(ask(i, due))
    for _, writer in idle:
        writer.close()
    return latencies, errors


def measure(student: Path, texts: list[str], count: int, rate: float, settings: dict[str, str]) -> dict:
    """All figures of a service with these settings."""
    process, address = start(student, student.parent / "log", settings)
    try:
        latencies, errors = asyncio.run(load(address, texts, count, rate))
        metrics = dict(re.findall(r"^(student_\w+) (\S+)$", httpx.get(f"{address}/metrics", trust_env=False).text, re.MULTILINE))
        used = psutil.Process(process.pid)
        seconds, memory = sum(used.cpu_times()[:2]), used.memory_info().rss
    finally:
        process.terminate()
        process.wait()
    p50, p95, p99, longest = np.quantile(latencies, [0.5, 0.95, 0.99, 1]).tolist()
    batch = float(metrics["student_batch_texts_sum"]) / float(metrics["student_batch_texts_count"])
    figures = {"answers": len(latencies), "errors": dict(errors), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": longest}
    return figures | {"texts_a_batch": batch, "cpu_seconds": seconds, "megabytes": memory / 1e6, "exit_code": process.returncode}


def main(folder: str = "reports/quick/students/zh", language: str = "zh", count: str = "10000", rate: str = "100") -> None:
    """Export a student, measure its service, and write the figures."""
    texts = [text[:5000] for text in kdlib.load_reviews(language)["test"]["text"]]  # what the service takes
    model, tokenizer = load_classifier(folder)
    settings = {name: os.environ.get(name, value) for name, value in SETTINGS.items()}
    with tempfile.TemporaryDirectory() as place:
        student = export_onnx(model, tokenizer, Path(place) / "student")
        figures = measure(student, texts, int(count), float(rate), settings)
    shape = {name: getattr(model.config, name) for name in ("num_hidden_layers", "intermediate_size", "vocab_size")}
    versions = {name: importlib.metadata.version(name) for name in ("fastapi", "onnxruntime", "uvicorn")}
    asked = {"language": language, "student": shape, "requests": int(count), "rate": float(rate), "settings": settings}
    result = {**asked, **figures, "packages": versions, **environment()}
    print(json.dumps(figures, indent=1))
    (Path(__file__).parent / "results" / "service.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
