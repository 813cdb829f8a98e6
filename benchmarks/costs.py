"""What do labelling, training and the report cost as they grow, what memory do they take, and how near is labelling to the limit?

rows     seconds and memory of `kdlib label`, of a training and of a whole report against 1,000, 10,000 and 100,000 rows of made-up
         text. Teacher and student are one model of two layers of 16: what grows here is the kit's own work, not the model's. The
         report trains three students, labels, measures and draws; half of its rows have labels. The exponent of growth is the
         slope of log seconds against log rows, over all sizes and over the last two, where fixed costs weigh least; and once more
         with the fixed costs taken off, which would hide a growth that is faster.
length   the packaged teacher labels, and a student of two layers learns from, texts of exactly 16 to 128 tokens.
threads  the same with texts of 64 tokens, and a small report, on one thread and on more (PyTorch's; tokenizers takes all cores).
memory   the peak of each stage with the real models: fetch, convert, adapt, label, train, measure, report.
limit    benchmarks/limit.py: FLOP/s of labelling beside those of a plain matrix product; 16 and 8 bits, and students from their labels.

Run: python benchmarks/costs.py [--part rows length ...] [--archives DIR]   (twenty minutes on two idle cores; each part replaces its
own section of benchmarks/results/costs.json, and costs.png is drawn anew. The stage fetch needs the network, or a folder of the archives.)
     python benchmarks/costs.py --small   (a minute: toy models; shows that it runs, its figures mean nothing)
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset
from deploy import beginnings
from label import save_tiny_teacher
from limit import distance_to_limit, neighbours
from matplotlib.ticker import LogLocator, NullLocator
from side_by_side import interleaved, middle, slope, without_fixed_cost
from stages import CLASSES, VERDICTS, WORDS, made_up, measure

import kdlib
from kdlib.distill import DistillationArguments, train_classifier
from kdlib.experiment import Classifier, Settings, fast_bf16, load_datasets
from kdlib.export import OnnxClassifier, export_onnx
from kdlib.measure import environment
from kdlib.plots import use_style

GOALS = {"exponent": 1.05}
ROUNDS = {"label": 3, "train": 3, "report": 2}  # the largest report runs once
STYLES = {"label": ("#0072B2", "o"), "train": ("#E69F00", "s"), "report": ("#009E73", "^")}


class Bench:
    """What the parts share: sizes, a folder, and the models, loaded when a part asks for them."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.small, self.folder = args, args.small, folder
        self.tiny = folder / "tiny"
        save_tiny_teacher(self.tiny, [*WORDS, *VERDICTS])

    def teacher(self) -> tuple[str, Classifier]:
        """The name by which a stage loads it, and the teacher itself."""
        name = str(self.tiny) if self.small else "packaged"
        return name, kdlib.load_teacher(name)

    def settings(self) -> Settings:
        """Of the students that learn from labels of several precisions."""
        if not self.small:
            return Settings(languages=["zh"], teacher_training="none", seeds=self.args.seeds)
        data = {"data": str(self.table("data", made_up(200))), "transfer": str(self.table("transfer", made_up(150).select(["text"])))}
        return Settings(profile="slice", **data, language="en", teacher=str(self.tiny), teacher_training="none", layers=1, seeds=[0])

    def texts(self) -> list[str]:
        """Real texts in two languages, or made-up ones."""
        if self.small:
            return made_up(400)["text"].to_pylist()
        pairs = zip(*(kdlib.load_reviews(language)["transfer"]["text"][:2000] for language in ("zh", "en")), strict=True)
        return [text for pair in pairs for text in pair]

    def table(self, name: str, content: pa.Table) -> Path:
        """Where a table was written for a stage to read."""
        pq.write_table(content, file := self.folder / f"{name}.parquet")
        return file

    def student(self, teacher: Classifier, texts: list[str]) -> tuple[Path, Classifier]:
        """Two layers of the teacher with a vocabulary for ``texts``, and the folder where they are saved."""
        student = kdlib.make_student(*teacher, 2 if self.small else [0, 6], "trim", texts)
        for part in student:
            part.save_pretrained(self.folder / "student")
        return self.folder / "student", student


def by_rows(bench: Bench) -> dict[str, Any]:
    """Growth with the number of rows."""
    sizes = (200, 400) if bench.small else (1000, 10_000, 100_000)
    rounds = {"label": 1, "train": 1} if bench.small else ROUNDS
    files = {size: bench.table(f"rows-{size}", made_up(size)) for size in sizes}
    runs: dict[str, dict[int, list[dict[str, Any]]]] = {stage: {size: [] for size in sizes} for stage in rounds}
    for turn in range(max(rounds.values())):
        for size, file in files.items():
            for stage in rounds:
                if turn < rounds[stage] and not (turn and stage == "report" and size == sizes[-1]):
                    runs[stage][size].append(measure(stage, bench.tiny, file, real=False))
    return {"goals": GOALS} | {stage: growth(found) for stage, found in runs.items()}


def growth(runs: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
    """Exponents of one stage's time and memory, over all sizes and over the last two; of memory also megabytes for a thousand rows."""
    sizes, result = list(runs), {}
    for name in ("seconds", "peak_mb"):
        values = [[run[name] for run in rounds] for rounds in runs.values()]
        result[name] = dict(zip(map(str, sizes), values, strict=True))
        result[name] |= {"all_sizes": slope(sizes, values), "last_two": slope(sizes[-2:], values[-2:])}
        if len(sizes) > 2:
            result[name]["without_fixed_cost"] = without_fixed_cost(sizes, values)
    last, before = (np.mean([run["peak_mb"] for run in runs[size]]) for size in (sizes[-1], sizes[-2]))
    result["mb_for_1000_rows"] = float(1000 * (last - before) / (sizes[-1] - sizes[-2]))
    exponents = (result["seconds"][part]["exponent"] for part in ("all_sizes", "last_two"))
    return result | {"reached": max(exponents) <= GOALS["exponent"]}


def works(bench: Bench, teacher: Classifier, student: Classifier, texts: list[str], tokens: int) -> dict[str, Callable[[], Any]]:
    """Labelling ``texts`` of ``tokens`` tokens, and one epoch of the student on them; nothing is evaluated or saved."""
    made = beginnings(texts, [teacher[1], student[1]], tokens)
    rows = Dataset.from_dict({"text": made, "label": [0] * len(made), "teacher_logits": [[1.0, -1.0]] * len(made)})
    bare: dict[str, Any] = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
    arguments = DistillationArguments(num_train_epochs=1 if bench.small else 4, bf16=fast_bf16() and not bench.small, **bare)
    return {
        "label": lambda: kdlib.predict_logits(*teacher, made, max_length=tokens),
        "train": lambda: train_classifier(*student, rows, rows.take(8), arguments, tokens),
    }


def by_length(bench: Bench) -> dict[str, Any]:
    """Milliseconds a text (and epoch) at each length, timed in turn, their growth, and the memory of the stages."""
    lengths = (8, 16) if bench.small else (16, 32, 64, 128)
    (name, teacher), texts = bench.teacher(), bench.texts()
    folder, student = bench.student(teacher, texts)
    contestants, peaks = {}, {"label": {}, "train": {}}
    for tokens in lengths:
        contestants |= {f"{stage} {tokens}": work for stage, work in works(bench, teacher, student, texts, tokens).items()}
        made = beginnings(texts, [teacher[1], student[1]], tokens)
        file = bench.table(f"tokens-{tokens}", pa.table({"text": made, "label": [CLASSES[i % 2] for i in range(len(made))]}))
        for stage, model in (("label", name), ("train", folder)) if not bench.small else ():
            peaks[stage][str(tokens)] = measure(stage, model, file, tokens=tokens, real=True)["peak_mb"]
    seconds = interleaved(contestants, 1 if bench.small else 4)
    result = {}
    for stage, epochs in (("label", 1), ("train", 1 if bench.small else 4)):
        times = [1000 * seconds[f"{stage} {tokens}"] / 64 / epochs for tokens in lengths]
        result[stage] = {"ms_a_text": {str(tokens): middle(taken) for tokens, taken in zip(lengths, times, strict=True)}}
        result[stage] |= {"all_lengths": slope(lengths, times), "peak_mb": peaks[stage]}
        print(stage, result[stage], flush=True)
    return result


def by_threads(bench: Bench) -> dict[str, Any]:
    """How many times faster the stages are than on one thread."""
    counts = sorted({1, 2, os.cpu_count() or 1} & set(range(1, (os.cpu_count() or 1) + 1)))
    (_, teacher), texts, before = bench.teacher(), bench.texts(), torch.get_num_threads()
    tokens = 16 if bench.small else 64
    _, student = bench.student(teacher, texts)
    contestants = {}
    for stage, work in works(bench, teacher, student, texts, tokens).items():
        contestants |= {f"{stage} {count}": lambda work=work, count=count: (torch.set_num_threads(count), work()) for count in counts}
    seconds = interleaved(contestants, 1 if bench.small else 4)
    torch.set_num_threads(before)
    result: dict[str, Any] = {"tokens": tokens}
    for stage in ("label", "train"):
        faster = {str(count): middle(seconds[f"{stage} 1"] / seconds[f"{stage} {count}"]) for count in counts}
        result[stage] = {"seconds": {str(count): middle(seconds[f"{stage} {count}"]) for count in counts}, "times_faster": faster}
    if not bench.small:
        result["report"] = {str(count): [measure("report", threads=count) for _ in range(2)] for count in counts}
    print(result, flush=True)
    return result


def by_stage(bench: Bench) -> dict[str, Any]:
    """The peak of each stage of a small report with the real models, each in a process of its own."""
    (name, teacher), texts = bench.teacher(), bench.texts()
    if bench.small:
        folder, file = bench.tiny, bench.table("stages", made_up(200))
    else:
        folder, _ = bench.student(teacher, texts)
        rows = kdlib.load_reviews("zh")["train"].take(320)
        file = bench.table("stages", pa.table({"text": list(rows["text"]), "label": [CLASSES[label] for label in rows["label"]]}))
    del teacher
    models = {"train": str(folder), "adapt": name, "label": name, "measure": name, "report": name}
    stages = ("adapt", "label") if bench.small else ("fetch", "convert", "adapt", "label", "train", "measure", "report")
    given = {"student": str(folder), "archives": bench.args.archives, "real": not bench.small}
    return {stage: measure(stage, models.get(stage, "packaged"), file, **given) for stage in stages}


def to_the_limit(bench: Bench) -> dict[str, Any]:
    """The teacher, exported as well, on real texts of two languages."""
    _, teacher = bench.teacher()
    data, settings = next(iter(load_datasets(bench.settings()).values())), bench.settings()
    exported = export_onnx(*teacher, bench.folder / "onnx")
    onnx = {name: OnnxClassifier(exported, int8=name == "int8") for name in ("fp32", "int8")}
    runs, rounds, square = (1, 2, 64) if bench.small else (3, 5, 2048)
    return distance_to_limit(teacher, onnx, neighbours(teacher[1], bench.texts(), runs), data, settings, rounds, square)


PARTS = {"rows": by_rows, "length": by_length, "threads": by_threads, "memory": by_stage, "limit": to_the_limit}


def figure(result: dict[str, Any]) -> plt.Figure:
    """Time and memory against rows, time against length, and the memory of the stages; of the parts that there are."""
    use_style()
    drawn, axes = plt.subplots(2, 2, figsize=(10, 7))
    for axis, measured, title in ((axes[0][0], "seconds", "seconds (log scale)"), (axes[0][1], "peak_mb", "peak memory, MB")):
        for stage, found in result.get("rows", {}).items():
            if stage in STYLES:
                sizes = {int(size): values for size, values in found[measured].items() if size.isdecimal()}
                label = f"{stage}: rows to the power {found[measured]['last_two']['exponent']:.2f} at the end"
                axis.plot(list(sizes), [np.median(values) for values in sizes.values()], color=STYLES[stage][0], marker=STYLES[stage][1], label=label)
        axis.set(xscale="log", xlabel="rows, tiny models (log scale)", ylabel=title)
    axes[0][0].set_yscale("log")
    axes[0][1].set_ylim(bottom=0)
    for stage, found in result.get("length", {}).items():
        if stage in STYLES:
            times = {int(tokens): time["median"] for tokens, time in found["ms_a_text"].items()}
            label = f"{stage}: tokens to the power {found['all_lengths']['exponent']:.2f}"
            axes[1][0].plot(list(times), list(times.values()), color=STYLES[stage][0], marker=STYLES[stage][1], label=label)
    axes[1][0].set(xscale="log", yscale="log", xlabel="tokens of a text (log scale)", ylabel="ms a text (log scale)")
    for part in (axes[1][0].xaxis, axes[1][0].yaxis):
        part.set(major_locator=LogLocator(2), major_formatter="{x:g}", minor_locator=NullLocator())
    for axis in (axes[0][0], axes[0][1], axes[1][0]):
        if axis.lines:
            axis.legend(fontsize=8)
    peaks = {stage: found["peak_mb"] for stage, found in result.get("memory", {}).items() if isinstance(found, dict) and "peak_mb" in found}
    bars = axes[1][1].barh(list(peaks)[::-1], list(peaks.values())[::-1], color="#0072B2")
    axes[1][1].bar_label(bars, fmt="%.0f", padding=3)
    axes[1][1].set(xlabel="peak memory of a stage, MB (teacher and student of the kit)", xmargin=0.15)
    return drawn


def main() -> None:
    """Measure the parts and write them beside those that were measured before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--small", action="store_true", help="toy models: a trial of a minute")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the students that learn from labels of each precision")
    parser.add_argument("--archives", help="a folder with the pinned archives, for the stage fetch without network")
    parser.add_argument("--output", type=Path, help="costs.json in benchmarks/results, of a trial in the folder for temporary files")
    args = parser.parse_args()
    results = Path(tempfile.gettempdir()) if args.small else Path(__file__).parent / "results"
    output = args.output or results / "costs.json"
    result: dict[str, Any] = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        if args.small:
            os.environ["KDLIB_HOME"] = f"{folder}/home"
        bench = Bench(args, Path(folder))
        for part in args.part:
            result[part] = PARTS[part](bench) | environment() | {"small": args.small}
            output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    figure(result).savefig(output.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()
