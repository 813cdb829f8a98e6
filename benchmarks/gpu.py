"""What does this device do in a second? Teacher fine-tuning, student training and labelling: precision, batch size, `torch.compile`.

Run: python benchmarks/gpu.py   (some minutes on a GPU; writes benchmarks/results/gpu.json, which notebook 08 reads)
     python benchmarks/gpu.py --small --output FILE   (seconds on any processor: shows that it runs, its figures mean nothing)

The models have the sizes of the kit's teacher and of a student of two layers, with random weights: their values do not change
the time. Every text has `--tokens` tokens, so that no padding is counted. What does not fit into memory is recorded as null.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForSequenceClassification

from kdlib.losses import distillation_loss
from kdlib.measure import environment

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def make_model(layers: int, pieces: int, small: bool) -> BertForSequenceClassification:
    """A classifier of the teacher's width; with ``small`` a toy."""
    width = {"hidden_size": 32, "intermediate_size": 64} if small else {"hidden_size": 384, "intermediate_size": 1536}
    sizes = {"num_hidden_layers": layers, "vocab_size": pieces, "num_attention_heads": 2 if small else 12}
    return BertForSequenceClassification(BertConfig(**width, **sizes, max_position_embeddings=514, num_labels=2))


def multiplied(model: BertForSequenceClassification) -> int:
    """N: the parameters that every token is multiplied with, so without the tables of embeddings."""
    return sum(weights.numel() for name, weights in model.named_parameters() if "embeddings" not in name)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """The median of ``repeats`` runs after three of warm-up."""
    times = []
    for _ in range(repeats + 3):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def peak_tflops(device: torch.device, dtype: torch.dtype, size: int, repeats: int) -> float:
    """10¹² operations a second in a product of two square matrices: what there is to reach."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / seconds(lambda: a @ a, device, repeats) / 1e12


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Products in ``dtype`` until the block ends."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def labelling(model: torch.nn.Module, ids: torch.Tensor, dtype: torch.dtype) -> Callable[[], Any]:
    """One batch through the model, without gradients."""

    def work() -> torch.Tensor:
        with torch.inference_mode(), autocast(ids.device, dtype):
            return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits

    model.eval()
    return work


def training(model: torch.nn.Module, ids: torch.Tensor, distil: bool, dtype: torch.dtype) -> Callable[[], Any]:
    """One optimisation step: on labels, as a teacher is fine-tuned, or on teacher logits, as a student is trained."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    scaler = torch.amp.GradScaler(ids.device.type, enabled=dtype == torch.float16)
    labels, teacher = torch.zeros(len(ids), dtype=torch.long, device=ids.device), torch.zeros(len(ids), 2, device=ids.device)

    def work() -> None:
        with autocast(ids.device, dtype):  # around one step: a block around many would keep the 16-bit copies of weights that have changed
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            loss = distillation_loss(logits, teacher, labels) if distil else cross_entropy(logits.float(), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    model.train()
    return work


def rows(args: argparse.Namespace, device: torch.device) -> Iterator[dict[str, Any]]:
    """One row for each task, precision and batch size."""
    shapes = {"teacher": (2, 500) if args.small else (12, 250_037), "student": (1, 100) if args.small else (2, 8_000)}
    tasks = [
        ("teacher labelling", "teacher", False),
        ("teacher fine-tuning", "teacher", True),
        ("student training", "student", True),
    ]
    for task, kind, learns in tasks:
        for precision in args.precisions:
            dtype = PRECISIONS[precision]
            for batch in args.batch_sizes:
                model = make_model(*shapes[kind], args.small).to(device)
                ids = torch.randint(4, shapes[kind][1], (batch, args.tokens), device=device)
                work = training(model, ids, kind == "student", dtype) if learns else labelling(model, ids, dtype)
                row = {"task": task, "precision": precision, "batch": batch, "tokens": args.tokens}
                flops = (6 if learns else 2) * multiplied(model) * batch * args.tokens
                yield row | measured(work, device, args.repeats, flops, batch)
                del model, work


def measured(
    work: Callable[[], Any], device: torch.device, repeats: int, flops: float, batch: int
) -> dict[str, Any]:
    """Seconds, texts and 10¹² operations a second, and the peak of memory on a GPU; None where the device has too little of it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        took = seconds(work, device, repeats)
    except torch.OutOfMemoryError:
        return {"seconds": None, "texts_per_second": None, "tflops": None, "peak_gb": None}
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    return {"seconds": took, "texts_per_second": batch / took, "tflops": flops / took / 1e12, "peak_gb": peak}


def compiled(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Labelling with and without ``torch.compile``: what the first call costs and what the later ones gain."""
    model = make_model(*((2, 500) if args.small else (12, 250_037)), args.small).to(device)
    ids, dtype = torch.randint(4, 400, (args.batch_sizes[0], args.tokens), device=device), PRECISIONS[args.precisions[-1]]
    plain, fast = labelling(model, ids, dtype), labelling(torch.compile(model), ids, dtype)
    before, start = seconds(plain, device, args.repeats), time.perf_counter()
    try:
        fast()
    except Exception as error:  # no compiler on this machine, or none that fits
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    synchronise(device)
    first = time.perf_counter() - start
    after = seconds(fast, device, args.repeats)
    return {
        "precision": args.precisions[-1],
        "batch": len(ids),
        "first_call_seconds": first,
        "plain_seconds": before,
        "compiled_seconds": after,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    parser.add_argument("--small", action="store_true", help="toy models: a trial of seconds")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[8, 32, 128, 512])
    parser.add_argument("--tokens", type=int, default=64, help="length of every text")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    args = parser.parse_args()
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    size = 128 if args.small else 8192 if device.type == "cuda" else 2048
    result = {
        "command": " ".join(["python benchmarks/gpu.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "small": args.small,
    }
    result["peak_tflops"] = {name: peak_tflops(device, PRECISIONS[name], size, args.repeats) for name in args.precisions}
    result["rows"] = []
    for row in rows(args, device):
        print(" ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()), flush=True)
        result["rows"].append(row)
    if not args.no_compile:
        result["compile"] = compiled(args, device)
    found = environment()
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{found['machine']['device']} ({device.type})"
    result |= found | {"device": name}
    args.output.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
