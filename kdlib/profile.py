"""What a model costs: parameters, bytes, FLOPs, latency, throughput, memory."""

import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .errors import require
from .evaluate import classify, evaluation_mode


def profile_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str],
                  batch_sizes: Sequence[int] = (1, 32), repeats: int = 30, max_length: int = 128) -> dict[str, Any]:  # fmt: skip
    """What a classifier costs on ``texts``, on the device where it is.

    Returns a dict of

    - parameters: how many numbers the model learns.
    - bytes: on disk, all that ``save_pretrained`` writes of model and tokenizer.
    - weight_bytes: the part of it that holds weights.
    - flops: of one forward pass over the text of median length; a multiplication and an addition are two.
      Matrix products and convolutions count (not an LSTM on a GPU, which is one fused kernel).
    - latency_ms: for each batch size ``{"median": …, "p95": …}`` in milliseconds, from texts to logits,
      tokenisation included, over ``repeats`` batches of ``texts`` in turn, after two of warm-up.
    - throughput: texts a second at the largest batch size, from its median.
    - peak_memory_mb: in 10⁶ bytes. On a GPU, the most that was allocated during this call; else the peak of
      the whole process since it started: to compare models, profile each in a process of its own.

    Raises ``InputError`` without texts, batch sizes or repeats.
    """
    texts = list(texts)
    given = f"{len(texts)} texts, batch sizes {tuple(batch_sizes)}, repeats {repeats}"
    require(texts and batch_sizes and min(*batch_sizes, repeats) > 0, f"There is nothing to time ({given}): give at least 1 of each.")
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    tokenizer("")  # forgets the truncation and padding of earlier calls, which would be saved with it
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        sizes = {file: file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()}
    typical = sorted(texts, key=lambda text: len(tokenizer(text, truncation=True, max_length=max_length)["input_ids"]))[len(texts) // 2]
    latency = {}
    with evaluation_mode(model):
        # The counter sees the matrix products of attention only where they are not fused into one kernel.
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            classify(model, tokenizer, [typical], max_length)
        for size in batch_sizes:
            times = []
            for turn in range(-2, repeats):
                batch = [texts[(turn * size + i) % len(texts)] for i in range(size)]
                start = time.perf_counter()
                classify(model, tokenizer, batch, max_length)
                times.append(1000 * (time.perf_counter() - start))
            median, p95 = np.quantile(times[2:], (0.5, 0.95)).tolist()  # without the warm-up
            latency[str(size)] = {"median": median, "p95": p95}
    weights = sum(size for file, size in sizes.items() if file.suffix == ".safetensors")
    cost = {"parameters": model.num_parameters(), "bytes": sum(sizes.values()), "weight_bytes": weights, "flops": counter.get_total_flops()}
    throughput = 1000 * max(batch_sizes) / latency[str(max(batch_sizes))]["median"]
    return {**cost, "latency_ms": latency, "throughput": throughput, "peak_memory_mb": peak_memory(model.device)}


def peak_memory(device: torch.device) -> float:
    """10⁶ bytes at the peak: of the GPU that holds the model, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    # Linux: getrusage would also count the process that started this one, such as a notebook's kernel.
    status = Path("/proc/self/status")
    if status.is_file() and (peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(peak[1]) * 1024 / 1e6
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e6
    import resource  # absent on Windows

    # macOS counts bytes, others KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
