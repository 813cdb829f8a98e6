"""What does a teacher cost that runs in every step? kdlib beside what a reader would use instead.

All contestants have the same teacher, the same start of the student, the same texts in the same batches in the same order,
the same loss, optimizer, schedule and number of steps; batches are padded to their longest text. So the students that come
out should be the same, and only the time differs. The contestants:
    kdlib                  the teacher's logits computed once, then ``train_classifier``
    Trainer (book)         a ``Trainer`` whose loss runs the teacher, as "Natural Language Processing with Transformers" (Tunstall,
                           von Werra, Wolf 2022), chapter 8, describes; written for this comparison
    loop (tutorial)        a plain loop that runs the teacher, as PyTorch's tutorial on knowledge distillation describes; likewise
    TextBrewer             its ``GeneralDistiller`` as its quick start uses it; in an environment of its own
    TextBrewer, cached     the same, with the teacher's outputs computed before and put into the batches: it offers that, the user writes it
First the ratio is predicted from FLOPs, then measured. Each contestant is a process of its own that sleeps while another is at
work; they take turns epoch by epoch, and a ratio is that of epochs side by side, of which the median counts. Training the
teacher is no part of it, nor is loading it; cutting texts into tokens, labelling and all that a trainer sets up are.

Run: python benchmarks/peers.py   (twenty minutes on two cores; writes benchmarks/results/peers.json)
     python benchmarks/peers.py --small   (about a minute: shows that it runs, its figures mean little; writes nothing unless told)
"""

import argparse
import contextlib
import json
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from side_by_side import batch_shapes, forward_flops
from torch.nn.functional import cross_entropy, kl_div
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    get_linear_schedule_with_warmup,
)
from transformers.trainer_callback import PrinterCallback

import kdlib
from kdlib.errors import InputError, require
from kdlib.evaluate import agreement, paired_bootstrap, predict_logits
from kdlib.experiment import STUDENTS, fast_bf16
from kdlib.files import home, written_aside
from kdlib.measure import environment

GOALS = {"epoch_ratio": 5, "total_ratio": 2}
TEXTBREWER = ("textbrewer==0.2.1.post1", "tensorboardX==2.6.5", "protobuf")  # the last two it cannot be imported without
BATCH, LEARNING_RATE, WEIGHT_DECAY, WARMUP, TEMPERATURE, ALPHA = 32, 3e-4, 0.01, 0.1, 2.0, 0.7
MAX_LENGTH = 127  # no multiple of 8, so that train_classifier pads to the longest text, as the others do


@dataclass
class Task:
    """What a contestant gets: labelled texts in the order of their batches, the teacher and the student at its start."""

    texts: list[str]
    labels: list[int]
    epochs: int
    bf16: bool
    teacher: Any
    tokenizer: Any
    student: Any
    cut: Any  # the student's tokenizer

    @property
    def steps(self) -> int:
        """Optimisation steps of one epoch."""
        return math.ceil(len(self.texts) / BATCH)


class Clock:
    """Seconds of each lap, set-up first and then every epoch; after each, ``turn`` is told and may let others work."""

    def __init__(self, turn: Callable[[float], Any]) -> None:
        self.turn, self.start = turn, time.perf_counter()

    def lap(self) -> None:
        """End a lap and, once ``turn`` returns, begin the next."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.turn(time.perf_counter() - self.start)
        self.start = time.perf_counter()


# The contestants: each trains task.student in place and calls clock.lap() at the beginning of every epoch.


def run_kdlib(task: Task, clock: Clock) -> None:
    """Label once, in an empty cache, then train."""
    rows = Dataset.from_dict({"text": task.texts, "label": task.labels})
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, KDLIB_HOME=folder):
        rows = kdlib.add_teacher_outputs(rows, task.teacher, task.tokenizer, MAX_LENGTH, bf16=task.bf16)
    arguments = kdlib.DistillationArguments(
        temperature=TEMPERATURE, alpha=ALPHA, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY, warmup_steps=WARMUP,
        num_train_epochs=task.epochs, per_device_train_batch_size=BATCH, train_sampling_strategy="sequential", bf16=task.bf16,
        eval_strategy="no", save_strategy="no", load_best_model_at_end=False, logging_strategy="no",
    )  # fmt: skip
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        if calls % task.steps == 0:  # the first batch of an epoch reaches the student
            clock.lap()
        calls += 1

    hook = task.student.register_forward_pre_hook(count)
    kdlib.train_classifier(task.student, task.cut, rows, rows.select([0]), arguments, MAX_LENGTH)
    hook.remove()


def in_bf16(model: Any, wanted: bool) -> Any:
    """The model, multiplying in bfloat16 where that is wanted."""
    if wanted:
        model.forward = torch.autocast(model.device.type, torch.bfloat16)(model.forward)
    return model


def encode_for_both(task: Task) -> list[dict[str, Any]]:
    """Each text cut by both tokenizers: the teacher's part under names that begin with teacher_."""
    own, other = (t(task.texts, truncation=True, max_length=MAX_LENGTH)["input_ids"] for t in (task.cut, task.tokenizer))
    return [{"input_ids": a, "teacher_input_ids": b, "labels": c} for a, b, c in zip(own, other, task.labels, strict=True)]


def collate_for_both(task: Task) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """A collator that pads the student's part and the teacher's part, each to its longest text."""
    pad_own, pad_other = DataCollatorWithPadding(task.cut), DataCollatorWithPadding(task.tokenizer)

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        own = pad_own([{"input_ids": row["input_ids"], "labels": row["labels"]} for row in rows])
        other = pad_other([{"input_ids": row["teacher_input_ids"]} for row in rows])
        return {**own, **{f"teacher_{name}": value for name, value in other.items()}}

    return collate


def split_batch(batch: dict[str, Any], device: torch.device) -> tuple[dict[str, Any], dict[str, Any]]:
    """The student's part (with labels) and the teacher's part of a batch."""
    both = {name: value.to(device) for name, value in batch.items()}
    other = {name: both.pop(name) for name in list(both) if name.startswith("teacher_")}
    return both, {name.removeprefix("teacher_"): value for name, value in other.items()}


def make_optimizer(task: Task) -> tuple[torch.optim.Optimizer, dict[str, int]]:
    """``Trainer``'s optimizer, for loops without one, and the steps of the schedule."""
    matrices = [p for p in task.student.parameters() if p.ndim > 1]
    others = [p for p in task.student.parameters() if p.ndim < 2]  # biases and layer norms do not decay
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    steps = task.steps * task.epochs
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, fused=True), {
        "num_warmup_steps": math.ceil(WARMUP * steps),
        "num_training_steps": steps,
    }


class TeacherInTheLoop(Trainer):
    """The book's trainer: its loss asks the teacher about every batch. Its alpha weighs the labels."""

    def __init__(self, *args: Any, teacher: Any, alpha: float, temperature: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teacher, self.alpha, self.temperature = teacher, alpha, temperature

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """alpha · cross entropy + (1 − alpha) · T² · KL."""
        own, other = split_batch(inputs, self.teacher.device)
        outputs = model(**own)
        with torch.no_grad():
            teacher_logits = self.teacher(**other).logits
        log_q = (outputs.logits / self.temperature).log_softmax(-1)
        soft = self.temperature**2 * kl_div(log_q, (teacher_logits.float() / self.temperature).softmax(-1), reduction="batchmean")
        loss = self.alpha * outputs.loss + (1 - self.alpha) * soft
        return (loss, outputs) if return_outputs else loss


class Laps(TrainerCallback):
    """Tell the clock when an epoch begins."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A lap."""
        self.clock.lap()


def run_book(task: Task, clock: Clock) -> None:
    """``TeacherInTheLoop``."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY, warmup_steps=WARMUP, num_train_epochs=task.epochs,
            per_device_train_batch_size=BATCH, train_sampling_strategy="sequential", bf16=task.bf16, remove_unused_columns=False,
            save_strategy="no", logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=torch.cuda.is_available(),
            use_cpu=not torch.accelerator.is_available(),
        )  # fmt: skip
        trainer = TeacherInTheLoop(
            task.student, arguments, train_dataset=encode_for_both(task), data_collator=collate_for_both(task), callbacks=[Laps(clock)],
            teacher=in_bf16(task.teacher, task.bf16), alpha=1 - ALPHA, temperature=TEMPERATURE,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def run_tutorial(task: Task, clock: Clock) -> None:
    """The tutorial's loop, with the optimizer, schedule and clipping of the others."""
    loader = DataLoader(encode_for_both(task), batch_size=BATCH, collate_fn=collate_for_both(task))
    teacher, student = (in_bf16(model, task.bf16) for model in (task.teacher, task.student))
    optimizer, steps = make_optimizer(task)
    schedule = get_linear_schedule_with_warmup(optimizer, **steps)
    teacher.eval()
    student.train()
    for _ in range(task.epochs):
        clock.lap()
        running_loss = 0.0
        for batch in loader:
            own, other = split_batch(batch, student.device)
            labels = own.pop("labels")
            optimizer.zero_grad()
            with torch.no_grad():
                teacher_logits = teacher(**other).logits.float()
            logits = student(**own).logits.float()
            p, log_q = (teacher_logits / TEMPERATURE).softmax(-1), (logits / TEMPERATURE).log_softmax(-1)
            soft = TEMPERATURE**2 * torch.sum(p * (p.log() - log_q)) / len(logits)
            loss = ALPHA * soft + (1 - ALPHA) * cross_entropy(logits, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            running_loss += loss.item()


class Batches:
    """A data loader of {"student": …, "teacher": …} as TextBrewer takes them, which tells the clock when an epoch begins."""

    def __init__(self, task: Task, clock: Clock, cached: bool) -> None:
        loader = DataLoader(encode_for_both(task), batch_size=BATCH, collate_fn=collate_for_both(task))
        self.loader, self.device, self.clock, self.cache = loader, task.student.device, clock, []
        if cached:
            with torch.no_grad():
                self.cache = [{"logits": task.teacher(**split_batch(batch, self.device)[1]).logits.float()} for batch in loader]

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.clock.lap()
        for number, batch in enumerate(self.loader):
            own, other = split_batch(batch, self.device)
            yield {"student": own, "teacher": other} | ({"teacher_cache": self.cache[number]} if self.cache else {})


def run_textbrewer(task: Task, clock: Clock, cached: bool = False) -> None:
    """Its cross entropy with soft targets has the gradient of KL, without T²: the weight brings that."""
    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig

    def adapt(batch: Any, outputs: Any) -> dict[str, Any]:
        return {"logits": outputs["logits"].float()} | ({"losses": outputs["loss"].float()} if "loss" in outputs else {})

    logging.getLogger("Distillation").setLevel(logging.WARNING)
    teacher, student = (in_bf16(model, task.bf16) for model in (task.teacher, task.student))
    optimizer, steps = make_optimizer(task)
    with tempfile.TemporaryDirectory() as folder:
        training = TrainingConfig(output_dir=folder, device=student.device, ckpt_epoch_frequency=task.epochs)
        loss = DistillationConfig(TEMPERATURE, kd_loss_type="ce", kd_loss_weight=ALPHA * TEMPERATURE**2, hard_label_weight=1 - ALPHA)
        distiller = GeneralDistiller(training, loss, teacher, student, adapt, adapt)
        with distiller:
            distiller.train(optimizer, Batches(task, clock, cached), task.epochs, scheduler_class=get_linear_schedule_with_warmup,
                            scheduler_args=steps, max_grad_norm=1.0)  # fmt: skip


def run_textbrewer_cached(task: Task, clock: Clock) -> None:
    """TextBrewer that is fed with what the teacher said before."""
    run_textbrewer(task, clock, cached=True)


CONTESTANTS: dict[str, Callable[[Task, Clock], None]] = {
    "kdlib": run_kdlib,
    "Trainer (book)": run_book,
    "loop (tutorial)": run_tutorial,
    "TextBrewer": run_textbrewer,
    "TextBrewer, cached": run_textbrewer_cached,
}
CACHED = ("kdlib", "TextBrewer, cached")


# What the arithmetic says.


def predict(task: Task) -> dict[str, float]:
    """FLOPs of an epoch, and the two ratios, were every FLOP as fast as any other. A training step is three forward passes."""
    own, other = ([len(ids) for ids in t(task.texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]] for t in (task.cut, task.tokenizer))
    teacher, student = forward_flops(task.teacher, batch_shapes(other, BATCH)), 3 * forward_flops(task.student, batch_shapes(own, BATCH))
    labelling = forward_flops(task.teacher, batch_shapes(sorted(other), BATCH))  # which orders the texts by length by itself
    total = task.epochs * (teacher + student) / (labelling + task.epochs * student)
    return {"teacher_flops": teacher, "labelling_flops": labelling, "student_flops": student,
            "epoch_ratio": (teacher + student) / student, "total_ratio": total}  # fmt: skip


# The processes.


def load_task(rows: Path, epochs: int, bf16: bool) -> Task:
    """The task in a file of ``save_rows``; the student lies beside it, the teacher beside its folder."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    content, models = json.loads(rows.read_text(encoding="utf-8")), []
    for place in (rows.parent.parent / "teacher", rows.parent / "student"):
        models += [AutoModelForSequenceClassification.from_pretrained(place).to(device).eval(), AutoTokenizer.from_pretrained(place)]
    return Task(content["texts"], content["labels"], epochs, bf16, *models)


def worker(name: str) -> None:
    """A contestant, over stdin and stdout."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes elsewhere

    def say(message: Any) -> None:
        print(json.dumps(message), file=channel, flush=True)
        if not sys.stdin.readline():  # the one who asks is gone
            sys.exit(1)

    for line in iter(sys.stdin.readline, ""):
        serve(name, json.loads(line), say)


def serve(name: str, job: dict[str, Any], say: Callable[[Any], Any]) -> None:
    """One task: says "ready", the seconds of each lap, and the logits of the test texts, each time until it is told to go on."""
    rows = Path(job["rows"])
    task = load_task(rows, job["epochs"], job["bf16"])
    say("ready")
    clock = Clock(say)
    CONTESTANTS[name](task, clock)
    clock.lap()
    fresh = AutoModelForSequenceClassification.from_pretrained(rows.parent / "student")  # without what was hung on the other
    fresh.load_state_dict(task.student.state_dict())
    say(predict_logits(fresh, task.cut, json.loads(rows.read_text(encoding="utf-8"))["test_texts"]).tolist())


class Contestant:
    """A process that runs ``worker``."""

    def __init__(self, name: str, python: str | Path = sys.executable) -> None:
        self.name = name
        settings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "KDLIB_QUIET": "1", "HF_HUB_OFFLINE": "1"}
        command = [str(python), __file__, "worker", name]
        self.process = subprocess.Popen(command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def tell(self, message: Any = None) -> None:
        """A line to the process: a task, or that it is its turn."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        """The next line that it says; ``RuntimeError`` where it stopped instead."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} stopped with exit code {self.process.wait()}: its message stands above.")
        return json.loads(line)

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def race(contestants: Sequence[Contestant], rows: Path, epochs: int, bf16: bool) -> dict[str, dict[str, Any]]:
    """Seconds of set-up and of each epoch, and the logits, of every contestant; one works at a time, in an order that rotates."""
    for contestant in contestants:
        contestant.tell({"rows": str(rows), "epochs": epochs, "bf16": bf16})
    for contestant in contestants:
        contestant.hear()
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for lap in range(epochs + 1):
        first = lap % len(contestants)
        for contestant in [*contestants[first:], *contestants[:first]]:
            contestant.tell()
            seconds[contestant.name].append(contestant.hear())
    for contestant in contestants:
        contestant.tell()
    logits = {contestant.name: np.array(contestant.hear()) for contestant in contestants}
    for contestant in contestants:
        contestant.tell()
    return {name: {"seconds": laps, "logits": logits[name]} for name, laps in seconds.items()}


def textbrewer_python(folder: Path) -> Path:
    """The interpreter of TextBrewer's environment, which is made in ``folder`` where there is none.

    It holds TextBrewer and what it cannot be imported without; PyTorch and all else are those of this process, so that
    both sides run on the same. Raises ``InputError`` where it cannot be made or TextBrewer cannot be imported there.
    """
    inside = Path("Scripts", "python.exe") if os.name == "nt" else Path("bin", "python")
    if not (folder / inside).exists():
        with written_aside(folder) as aside:
            venv.create(aside, symlinks=os.name != "nt")
            command = [sys.executable, "-m", "pip", "--python", str(aside / inside), "install", "--quiet", "--disable-pip-version-check"]
            run = subprocess.run([*command, "--no-deps", *TEXTBREWER], capture_output=True, text=True, check=False)
            last = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
            remedy = "connect to the network or a mirror, or leave TextBrewer out with --no-textbrewer"
            require(run.returncode == 0, f"pip could not install {TEXTBREWER[0]} into {folder} ({last}): {remedy}.")
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    check = [str(folder / inside), "-W", "ignore", "-c", "import textbrewer"]
    run = subprocess.run(check, env=settings, capture_output=True, text=True, check=False)
    last = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
    require(run.returncode == 0, f"TextBrewer in {folder} cannot be imported ({last}): delete that folder, or use --no-textbrewer.")
    return folder / inside


# The rows of the table.


def batch_order(lengths: Sequence[int], grouped: bool, seed: int = 0) -> np.ndarray:
    """An order of the texts in which each run of ``BATCH`` is a batch: texts of like length together, or at random."""
    generator = np.random.default_rng(seed)
    order = np.argsort(lengths, kind="stable") if grouped else generator.permutation(len(lengths))
    full = len(order) // BATCH * BATCH
    return np.concatenate([generator.permutation(order[:full].reshape(-1, BATCH)).reshape(-1), order[full:]])


def save_student(folder: Path, data: Any, teacher: Any, tokenizer: Any, shape: dict[str, Any]) -> None:
    """Write the student at its start, cut out of the teacher, and without dropout, as the kit distils."""
    corpus = [text for split in ("train", "transfer") for text in data[split]["text"]]
    layers, pieces, neurons = shape.get("layers", 2), shape.get("vocabulary_size"), shape.get("intermediate_size")
    student, cut = kdlib.make_student(teacher, tokenizer, layers, "trim", corpus, None, neurons, pieces)
    student.config.hidden_dropout_prob = student.config.attention_probs_dropout_prob = 0.0
    student.save_pretrained(folder / "student")
    cut.save_pretrained(folder / "student")


def save_rows(file: Path, data: Any, tokenizer: Any, count: int, tested: int, grouped: bool) -> None:
    """Write labelled texts in the order of their batches, and the test texts."""
    train = data["train"].filter(lambda row: row["label"] >= 0).shuffle(seed=0)
    texts, labels = train["text"][:count], train["label"][:count]
    order = batch_order([len(ids) for ids in tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]], grouped)
    rows = {"texts": [texts[i] for i in order], "labels": [labels[i] for i in order]}
    rows |= {"test_texts": data["test"]["text"][:tested], "test_labels": data["test"]["label"][:tested]}
    file.write_text(json.dumps(rows), encoding="utf-8")


def summarise(results: dict[str, dict[str, Any]], labels: Sequence[int], predicted: dict[str, float]) -> dict[str, dict[str, Any]]:
    """By contestant: seconds, GFLOP/s, how many times as long as kdlib it took, and its student beside kdlib's."""
    table, own = {}, results["kdlib"]
    right = own["logits"].argmax(-1) == np.array(labels)
    for name, result in results.items():
        setup, *epochs = result["seconds"]
        ratios = [other / mine for other, mine in zip(epochs[1:], own["seconds"][2:], strict=True)]
        correct = result["logits"].argmax(-1) == np.array(labels)
        gap = paired_bootstrap(correct, right)
        flops = predicted["student_flops"] + (0 if name in CACHED else predicted["teacher_flops"])
        table[name] = {
            "setup_seconds": setup, "epoch_seconds": epochs, "total_seconds": sum(result["seconds"]),
            "gflops_per_second": flops / statistics.median(epochs[1:]) / 1e9,
            "epoch_ratio": statistics.median(ratios), "epoch_ratio_range": [min(ratios), max(ratios)],
            "total_ratio": sum(result["seconds"]) / sum(own["seconds"]),
            "accuracy": float(correct.mean()), "accuracy_difference": [gap.difference, gap.low, gap.high],
            "agreement": agreement(own["logits"], result["logits"]),
        }  # fmt: skip
    return table


def table_of(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One line for every row and contestant: predicted and measured."""
    lines = {}
    for row in rows:
        for name, figures in row["contestants"].items():
            predicted = {"epoch_ratio": 1.0, "total_ratio": 1.0} if name in CACHED else row["predicted"]
            gap, low, high = (100 * share for share in figures["accuracy_difference"])
            lines[row["row"], name] = {
                "s set-up": f"{figures['setup_seconds']:.1f}", "s an epoch": f"{statistics.median(figures['epoch_seconds'][1:]):.2f}",
                "epoch × kdlib, predicted": f"{predicted['epoch_ratio']:.1f}", "measured": f"{figures['epoch_ratio']:.1f}",
                "all × kdlib, predicted": f"{predicted['total_ratio']:.1f}", "measured ": f"{figures['total_ratio']:.1f}",
                "GFLOP/s": f"{figures['gflops_per_second']:.0f}", "accuracy, %": f"{100 * figures['accuracy']:.1f}",
                "− kdlib, points": f"{gap:+.1f} ({low:+.1f} to {high:+.1f})",
            }  # fmt: skip
    return pd.DataFrame(lines).T


def verdicts(row: dict[str, Any]) -> dict[str, dict[str, bool]]:
    """Which goals are reached against each peer that runs the teacher in every step."""
    found = {}
    for name, figures in row["contestants"].items():
        if name not in CACHED:
            _, low, high = figures["accuracy_difference"]
            found[name] = {goal: figures[goal] >= least for goal, least in GOALS.items()} | {"same_accuracy": low <= 0 <= high}
    return found


def padding_cost(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Times as long that an epoch takes with batches at random: by FLOPs, and by the clock."""
    grouped, random = (next(row for row in rows if row["row"] == name) for name in names)
    cost = {}
    for name, figures in random["contestants"].items():
        parts = ("student_flops",) if name in CACHED else ("student_flops", "teacher_flops")
        flops = [sum(row["predicted"][part] for part in parts) for row in (grouped, random)]
        seconds = [statistics.median(f["epoch_seconds"][1:]) for f in (grouped["contestants"][name], figures)]
        cost[name] = {"predicted": flops[1] / flops[0], "measured": seconds[1] / seconds[0]}
    return cost


def main(*arguments: str) -> None:
    """Predict, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="64 texts, two epochs, Chinese alone: a trial of about a minute")
    parser.add_argument("--output", type=Path, help="the result file; with --small none unless given")
    parser.add_argument("--languages", nargs="+", choices=("zh", "en"), help="zh en, with --small zh")
    parser.add_argument("--texts", type=int, help="training texts (640)")
    parser.add_argument("--epochs", type=int, help="epochs (5)")
    parser.add_argument("--textbrewer", type=Path, help="folder of TextBrewer's environment, made there where it is missing (under KDLIB_HOME)")
    parser.add_argument("--no-textbrewer", action="store_true", help="leave TextBrewer out")
    args = parser.parse_args(arguments)
    small, results = args.small, Path(__file__).parent / "results" / "peers.json"
    output, languages = args.output or (None if small else results), args.languages or (["zh"] if small else ["zh", "en"])
    count, epochs, tested = args.texts or (64 if small else 640), args.epochs or (2 if small else 5), 128 if small else 2000
    if epochs < 2 or count < BATCH:
        parser.error(f"give --epochs of 2 or more and --texts of {BATCH} or more: figures are those of the second epoch and later")
    plan = [("zh fp32", "zh", True, False, list(CONTESTANTS), epochs)] if "zh" in languages else []
    if plan and fast_bf16():
        plan += [("zh bf16", "zh", True, True, list(CONTESTANTS), epochs)]
    if plan:
        plan += [("zh fp32, batches at random", "zh", False, False, ["kdlib", "loop (tutorial)"], min(epochs, 3))]
    if "en" in languages:
        plan += [("en fp32", "en", True, False, list(CONTESTANTS), epochs)]
    report: dict[str, Any] = {"goals": GOALS, "textbrewer": TEXTBREWER[0], "texts": count, "batch": BATCH, "small": small}
    pythons: dict[str, Any] = dict.fromkeys(CONTESTANTS, sys.executable)
    try:
        require(not args.no_textbrewer, "Left out by --no-textbrewer.")
        python = textbrewer_python((args.textbrewer or home() / TEXTBREWER[0].replace("==", "-")).resolve())
        pythons |= {name: python for name in pythons if name.startswith("TextBrewer")}
    except InputError as error:
        report["textbrewer"] = str(error)
        print(f"Without TextBrewer: {error}")
        pythons = {name: python for name, python in pythons.items() if not name.startswith("TextBrewer")}
    report |= {**environment(), "rows": []}

    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        contestants = {name: Contestant(name, python) for name, python in pythons.items()}
        for contestant in contestants.values():
            stack.callback(contestant.stop)
        teacher, tokenizer = kdlib.load_teacher()
        teacher.save_pretrained(f"{scratch}/teacher")
        tokenizer.save_pretrained(f"{scratch}/teacher")
        data = {language: kdlib.load_reviews(language) for language in languages}
        for title, language, grouped, bf16, names, laps in plan:
            folder = Path(scratch, language)
            if not folder.exists():
                shape = {name: STUDENTS[name][language] for name in STUDENTS if language in STUDENTS[name]}
                save_student(folder, data[language], teacher, tokenizer, shape)
            rows = folder / ("grouped.json" if grouped else "random.json")
            save_rows(rows, data[language], tokenizer, count, tested, grouped)
            task = load_task(rows, laps, bf16)
            predicted, layers = predict(task), task.student.config.num_hidden_layers
            del task
            print(f"{title}, student of {layers} layer(s), {laps} epochs. Predicted from FLOPs: with the teacher in the loop "
                  f"{predicted['epoch_ratio']:.2f} × as long an epoch, {predicted['total_ratio']:.2f} × in all.", flush=True)  # fmt: skip
            raced = race([contestants[name] for name in names if name in contestants], rows, laps, bf16)
            labels = json.loads(rows.read_text(encoding="utf-8"))["test_labels"]
            row = {"row": title, "language": language, "layers": layers, "grouped": grouped, "bf16": bf16, "epochs": laps, "test": len(labels)}
            row |= {"predicted": predicted, "contestants": summarise(raced, labels, predicted)}
            report["rows"].append(row | {"reached": verdicts(row)})
            for name, figures in row["contestants"].items():
                low, high = figures["epoch_ratio_range"]
                print(f"  {name}: {figures['epoch_ratio']:.2f} × ({low:.2f} to {high:.2f}), in all {figures['total_ratio']:.2f} ×", flush=True)
            if output:
                output.write_text(json.dumps(report, indent=1), encoding="utf-8")  # what is done stays, should the rest fail
    if "zh" in languages:
        report["padding"] = padding_cost(report["rows"], ("zh fp32", "zh fp32, batches at random"))
    with pd.option_context("display.width", 250, "display.max_columns", None):
        print(table_of(report["rows"]))
    for row in report["rows"]:
        for name, found in row["reached"].items():
            print(f"{row['row']}, against {name}:", ", ".join(f"{goal} {'reached' if ok else 'not reached'}" for goal, ok in found.items()))
    for name, cost in report.get("padding", {}).items():
        print(f"Without grouping by length, {name}: {cost['measured']:.2f} × as long an epoch (predicted {cost['predicted']:.2f}).")
    if output:
        output.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2])
    else:
        main(*sys.argv[1:])
