"""How near does the labelling teacher come to what a matrix product reaches here, what is in the way, and what do 16 or 8 bits change?

The part "limit" of benchmarks/costs.py; everything that is compared is timed in turn, in one process. FLOPs are those of matrices
and attention, counted by hand and checked with torch's counter; those of padding count as done ("share"), or not ("useful").

What the profiler shows (results/costs.json, a processor with AVX-512 BF16 and without AMX):
- In float32 the products take 84 % of the model's time: more is not to be had around them, only by larger ones.
- In bfloat16 they take 63 %, attention 16, copies and casts 11. Autocast casts weight, bias and input anew for each product of each
  batch (under inference_mode it keeps none of them); a teacher whose weights stay in bfloat16 ("bf16, weights too") is spared two of
  the three. Batches of 8 lose more in bfloat16 (30 %) than in float32 (12 %). With AMX, in a short run, the rest weighed as much as the products.
- Texts sorted over a whole shard leave little padding.
- torch's dynamic quantisation rounds what follows a GELU, and one text in ten changes its class; `kdlib.export` spares these matrices.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict
from scipy.special import log_softmax, softmax
from side_by_side import batch_shapes, forward_flops, interleaved, middle
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import kdlib
from kdlib.evaluate import agreement, evaluation_mode, paired_bootstrap
from kdlib.experiment import Classifier, Settings, fast_bf16, train_student
from kdlib.export import OnnxClassifier

GOALS = {"share": 0.6}
SHARES = {"fp32": "fp32", "bf16": "bf16", "bf16, weights too": "bf16"}  # what is compared with plain products, and in which precision
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
BATCH, LENGTH = 64, 128  # of kdlib label
# Parts of the names of torch's operations, the first that fits.
KINDS = {"matrix products": ("addmm", "::mm", "bmm", "linear", "matmul"), "attention": ("scaled_dot_product",), "GELU": ("gelu",),
         "LayerNorm": ("layer_norm",), "softmax": ("softmax",), "additions": ("add",), "embeddings": ("embedding", "index_select", "gather"),
         "copies and casts": ("copy", "_to", "clone", "contiguous", "cat")}  # fmt: skip


def counted_flops(model: Any, texts: int, tokens: int) -> int:
    """What `forward_flops` counts by hand, by torch's counter, which sees attention where it is not fused into one kernel."""
    ids = torch.ones(texts, tokens, dtype=torch.long)
    with evaluation_mode(model), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return counter.get_total_flops()


def neighbours(tokenizer: Any, texts: Sequence[str], runs: int) -> list[str]:
    """``runs`` times two batches of texts that follow each other by length, spread over all of ``texts``.

    So a few batches hold as little padding as those of a whole shard of ``kdlib label``.
    """
    ordered = sorted(texts, key=lambda text: len(tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"]))
    middles = (len(ordered) * (2 * run + 1) // (2 * runs) for run in range(runs))
    return [text for place in middles for text in ordered[max(0, place - BATCH) : place + BATCH]]


def padded(tokenizer: Any, texts: Sequence[str], size: int = BATCH, multiple: int | None = None) -> list[Any]:
    """The batches that the model gets."""
    rows = sorted(tokenizer(list(texts), truncation=True, max_length=LENGTH)["input_ids"], key=len)
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [tokenizer.pad({"input_ids": batch}, pad_to_multiple_of=multiple, return_tensors="pt") for batch in batches]


def forward(model: Any, batches: Sequence[Any]) -> None:
    """Nothing but the model."""
    with evaluation_mode(model):
        for batch in batches:
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])


def product(rows: int, inner: int, columns: int, dtype: torch.dtype, times: int) -> Callable[[], None]:
    """``times`` plain matrix products of this shape."""
    a, b = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)

    def work() -> None:
        with torch.inference_mode():
            for _ in range(times):
                torch.matmul(a, b)

    return work


def all_products(config: Any, shapes: Sequence[tuple[int, int]], dtype: torch.dtype) -> Callable[[], None]:
    """The products of the layers' matrices over all batches, and nothing else."""
    h, f = config.hidden_size, config.intermediate_size
    matrices = [torch.randn(a, b).to(dtype) for a, b in [(h, h)] * 4 + [(h, f), (f, h)]]
    inputs = [{width: torch.randn(texts * tokens, width).to(dtype) for width in (h, f)} for texts, tokens in shapes]

    def work() -> None:
        with torch.inference_mode():
            for given in inputs:
                for matrix in matrices * config.num_hidden_layers:
                    torch.matmul(given[len(matrix)], matrix)

    return work


def eight_bits(model: Any) -> Any:
    """The model with torch's own dynamic quantisation: 8-bit weights, inputs quantised as they come."""
    with warnings.catch_warnings(action="ignore"):  # it is to move to the package torchao
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)


def kl(reference: np.ndarray, other: np.ndarray) -> float:
    """The mean of KL(reference ‖ other) in nats, of logits [n, K]."""
    return float((softmax(reference, -1) * (log_softmax(reference, -1) - log_softmax(other, -1))).sum(-1).mean())


def in_bf16(work: Callable[[], Any], enabled: bool = True) -> Any:
    """Under autocast, which casts the weights anew in each product, as ``add_teacher_outputs(bf16=True)``."""
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        return work()


def labellers(teacher: Classifier, onnx: dict[str, OnnxClassifier], texts: list[str]) -> dict[str, Callable[[], np.ndarray]]:
    """Every way to label ``texts``; each gives the logits."""
    model, tokenizer = teacher
    quantised, halved = eight_bits(model), copy.deepcopy(model).to(torch.bfloat16)
    ways = {"fp32": lambda: kdlib.predict_logits(model, tokenizer, texts, BATCH, LENGTH)}
    ways["bf16"] = lambda: in_bf16(ways["fp32"])
    ways["bf16, weights too"] = lambda: kdlib.predict_logits(halved, tokenizer, texts, BATCH, LENGTH)
    ways["int8, torch"] = lambda: kdlib.predict_logits(quantised, tokenizer, texts, BATCH, LENGTH)
    return ways | {f"{name}, ONNX": lambda file=file: file.predict_logits(texts, BATCH, LENGTH) for name, file in onnx.items()}


def shares(teacher: Classifier, ways: dict[str, Callable[[], np.ndarray]], texts: list[str], square: int, rounds: int) -> dict[str, Any]:
    """Speed of every way and, in fp32 and bf16, FLOP/s as a share of what plain products reach in the same round."""
    model, tokenizer = teacher
    config, lengths = model.config, [len(ids) for ids in tokenizer(texts, truncation=True, max_length=LENGTH)["input_ids"]]
    shapes = batch_shapes(sorted(lengths), BATCH)  # as in predict_logits
    done, useful = (forward_flops(model, given) for given in (shapes, [(1, length) for length in lengths]))
    tokens = int(np.median([rows * length for rows, length in shapes]))
    plain, amounts = {}, {}
    for name, dtype in PRECISIONS.items():
        for kind, sides, times in (("feed-forward", (tokens, config.hidden_size, config.intermediate_size), 10), ("square", (square,) * 3, 2)):
            plain[f"{kind}, {name}"], amounts[f"{kind}, {name}"] = product(*sides, dtype, times), times * 2 * np.prod(sides, dtype=float)
    logits = {name: way() for name, way in ways.items()}
    seconds = interleaved(ways | plain, rounds)
    result: dict[str, Any] = {"texts": len(texts), "tflop": done / 1e12, "useful_tflop": useful / 1e12, "padding": 1 - useful / done,
                              "batches": shapes, "square": square, "gflops": {}, "share": {}, "useful_share": {}, "speed": {}}  # fmt: skip
    for name, precision in SHARES.items():
        reached = {kind: amounts[f"{kind}, {precision}"] / seconds[f"{kind}, {precision}"] for kind in ("feed-forward", "square")}
        result["gflops"][name] = {kind: middle(rate / 1e9) for kind, rate in reached.items()} | {"labelling": middle(done / seconds[name] / 1e9)}
        best = np.maximum(*reached.values())
        result["share"][name], result["useful_share"][name] = (middle(work / seconds[name] / best) for work in (done, useful))
    for name, found in logits.items():
        same = {"agreement": agreement(logits["fp32"], found), "kl": kl(logits["fp32"], found)}
        result["speed"][name] = middle(seconds["fp32"] / seconds[name]) | same | {"ms_a_text": 1000 * float(np.median(seconds[name])) / len(texts)}
    return result


def variants(teacher: Classifier, texts: list[str], rounds: int) -> dict[str, Any]:
    """How many times faster one change makes the labelling of ``texts``, each by itself."""
    model, tokenizer = teacher
    ready = padded(tokenizer, texts)
    shapes = [tuple(batch["input_ids"].shape) for batch in ready]

    def label(size: int = BATCH) -> None:
        kdlib.predict_logits(model, tokenizer, texts, size, LENGTH)

    def eager() -> None:
        model.set_attn_implementation("eager")
        label()
        model.set_attn_implementation("sdpa")

    changes: dict[str, Callable[[], Any]] = {"as it is": label}
    changes |= {f"batches of {size}": lambda size=size: label(size) for size in (8, 16, 32, 128)}
    changes |= {"eager attention": eager, "lengths multiples of 8": lambda: forward(model, padded(tokenizer, texts, multiple=8)),
                "lengths multiples of 32": lambda: forward(model, padded(tokenizer, texts, multiple=32)),
                "the model alone": lambda: forward(model, ready)}  # fmt: skip
    result = {}
    for name, dtype in PRECISIONS.items():
        chosen = {change: lambda work=work, on=name == "bf16": in_bf16(work, on) for change, work in changes.items()}
        chosen["the products of its layers alone"] = all_products(model.config, shapes, dtype)
        seconds = interleaved(chosen, rounds)
        result[name] = {change: middle(seconds["as it is"] / taken) for change, taken in seconds.items()}
    return result


def time_by_kind(teacher: Classifier, texts: list[str]) -> dict[str, dict[str, float]]:
    """Shares of the model's time by kind of operation, from torch's profiler, in fp32 and bf16."""
    result = {}
    for name in PRECISIONS:
        ready = padded(teacher[1], texts)
        in_bf16(lambda ready=ready: forward(teacher[0], ready), name == "bf16")  # warms up
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            in_bf16(lambda ready=ready: forward(teacher[0], ready), name == "bf16")
        kinds = dict.fromkeys([*KINDS, "other"], 0.0)
        for event in profile.key_averages():
            kinds[next((kind for kind, parts in KINDS.items() if any(part in event.key for part in parts)), "other")] += event.self_cpu_time_total
        result[name] = {kind: taken / sum(kinds.values()) for kind, taken in kinds.items()}
    return result


def students_by_labels(teacher: Classifier, onnx: OnnxClassifier, data: DatasetDict, settings: Settings) -> dict[str, Any]:
    """The same student from labels of each precision: what the labels differ in, and its test accuracy, paired with that from fp32."""
    truth, texts = np.array(data["test"]["label"]), {name: list(data[name]["text"]) for name in ("train", "transfer")}
    labels, correct = {}, {}
    for name in ("fp32", "bf16", "int8"):
        labels[name] = {split: onnx.predict_logits(given, BATCH, settings.max_length) for split, given in texts.items()} if name == "int8" else {
            split: np.array(kdlib.add_teacher_outputs(data[split], *teacher, settings.max_length, bf16=name == "bf16")["teacher_logits"])
            for split in texts
        }  # fmt: skip
        columns = {split: data[split].add_column("teacher_logits", logits.tolist()) for split, logits in labels[name].items()}
        learnt = DatasetDict({"train": columns["train"], "transfer": columns["transfer"], "validation": data["validation"], "test": data["test"]})
        runs = [train_student("distilled", learnt, *teacher, settings, seed).logits["test"] for seed in settings.seeds or []]
        correct[name] = np.stack([logits.argmax(-1) == truth for logits in runs])
    whole = {name: np.concatenate(list(splits.values())) for name, splits in labels.items()}
    result = {"seeds": settings.seeds, "labels": len(whole["fp32"]), "test": len(truth)}
    for name, hits in correct.items():
        result[name] = {"agreement": agreement(whole["fp32"], whole[name]), "kl": kl(whole["fp32"], whole[name]),
                        "accuracy": hits.mean(1).tolist(), "difference": paired_bootstrap(hits, correct["fp32"])._asdict()}  # fmt: skip
    return result


def distance_to_limit(teacher: Classifier, onnx: dict[str, OnnxClassifier], texts: list[str], data: DatasetDict, settings: Settings,
                      rounds: int, square: int) -> dict[str, Any]:  # fmt: skip
    """All of it; ``texts`` are `neighbours`, of which single changes are tried on the two batches in the middle."""
    half = len(texts) // 2
    check = {"texts": 4, "tokens": 32, "by_hand": forward_flops(teacher[0], [(4, 32)]), "counted": counted_flops(teacher[0], 4, 32)}
    result = {"goals": GOALS, "flops": check, "units_for_bf16": fast_bf16()}
    result |= shares(teacher, labellers(teacher, onnx, texts), texts, square, rounds)
    print({name: result[name] for name in ("gflops", "share", "useful_share", "speed")}, flush=True)
    result["times_faster"] = variants(teacher, texts[max(0, half - BATCH) : half + BATCH], max(2, rounds - 2))
    print(result["times_faster"], flush=True)
    result["time_by_kind"] = time_by_kind(teacher, texts)
    print(result["time_by_kind"], flush=True)
    result["students"] = students_by_labels(teacher, onnx["int8"], data, settings)
    print(result["students"], flush=True)
    return result | {"reached": {name: share["median"] >= GOALS["share"] for name, share in result["share"].items()}}
