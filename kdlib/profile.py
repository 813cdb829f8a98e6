"""What a model costs: parameters, bytes, FLOPs, latency, throughput, memory."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def profile_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch_sizes: Sequence[int] = (1, 32),
    repeats: int = 20,
    max_length: int = 128,
) -> dict[str, Any]:
    """Cost of a classifier on ``texts``.

    Returns ``parameters``; ``bytes`` on disk (weights and tokenizer, as ``save_pretrained`` writes them); ``flops`` of one forward
    pass over one text of median length; ``latency_ms``: ``{"1": {"median", "p95"}, …}`` for each batch size, tokenisation
    included, warmed up, over ``repeats`` batches (five where a batch holds more than one text); ``throughput``, texts a second at the largest batch;
    ``peak_memory_mb``: of the process so far (of the GPU, where the model is there).
    """
    model.eval()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    median = sorted(texts, key=len)[len(texts) // 2]
    with torch.inference_mode():
        encoded = tokenizer([median], truncation=True, max_length=max_length, return_token_type_ids=False, return_tensors="pt")
        with FlopCounterMode(display=False) as counter:
            model(**encoded.to(model.device))
        latency = {}
        for batch_size in batch_sizes:
            times = time_batches(model, tokenizer, texts, batch_size, repeats if batch_size == 1 else 5, max_length)
            latency[str(batch_size)] = {"median": float(np.median(times)), "p95": float(np.quantile(times, 0.95))}
    largest = max(batch_sizes)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": size,
        "flops": counter.get_total_flops(),
        "latency_ms": latency,
        "throughput": 1000 * largest / latency[str(largest)]["median"],
        "peak_memory_mb": peak_memory(model.device),
    }


def time_batches(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], size: int, repeats: int, max_length: int
) -> list[float]:
    """Milliseconds of ``repeats`` batches of ``size`` texts taken in turn, after two that are not counted."""
    times = []
    for turn in range(repeats + 2):
        batch = [texts[(turn * size + i) % len(texts)] for i in range(size)]
        start = time.perf_counter()
        encoded = tokenizer(batch, truncation=True, max_length=max_length, padding=True, return_token_type_ids=False, return_tensors="pt")
        model(**encoded.to(model.device)).logits.cpu()  # the copy to the CPU waits for the GPU
        times.append(1000 * (time.perf_counter() - start))
    return times[2:]


def peak_memory(device: torch.device) -> float:
    """Megabytes at the peak: of the GPU that holds the model, else of this process (the current size where no peak is kept)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    info = psutil.Process().memory_info()
    try:
        import resource
    except ImportError:  # Windows, where psutil knows the peak itself
        return info.peak_wset / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
