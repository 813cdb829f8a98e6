"""What does `DistillationTrainer` cost over a bare PyTorch loop? Same students, same batches, same loss, ratio of epoch times.

Of two layers, and of the smallest student, whose steps are the shortest. Goal: 5 % at most.
Run: python benchmarks/overhead.py   (four minutes on two cores; writes benchmarks/results/overhead.json)
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, get_linear_schedule_with_warmup, set_seed

import kdlib
from kdlib.losses import distillation_loss
from kdlib.measure import environment

GOAL, ROWS, ROUNDS = 1.05, 640, 5
STUDENTS: dict[str, tuple[str, list[int]]] = {"en, two layers": ("en", [5, 11]), "zh, one layer": ("zh", [0])}


def trainer_seconds(student, tokenizer, encoded) -> float:
    """One epoch by the trainer, evaluation and saving off."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = kdlib.DistillationArguments(
            output_dir=folder, num_train_epochs=1, eval_strategy="no", save_strategy="no", load_best_model_at_end=False,
            train_sampling_strategy="sequential", disable_tqdm=True, logging_strategy="no",
        )  # fmt: skip
        trainer = kdlib.DistillationTrainer(
            model=student, args=arguments, train_dataset=encoded, data_collator=DataCollatorWithPadding(tokenizer)
        )
        start = time.perf_counter()
        trainer.train()
        return time.perf_counter() - start


def loop_seconds(student, tokenizer, encoded) -> float:
    """The same epoch written by hand: AdamW, linear schedule with warm-up, gradient clipping."""
    loader = DataLoader(encoded, batch_size=32, collate_fn=DataCollatorWithPadding(tokenizer))
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-4, weight_decay=0.01, fused=True)  # as the trainer's
    schedule = get_linear_schedule_with_warmup(optimizer, len(loader) // 10, len(loader))
    student.train()
    start = time.perf_counter()
    for batch in loader:
        logits = student(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = distillation_loss(logits, batch["teacher_logits"], batch["labels"], 2.0, 0.7)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return time.perf_counter() - start


def ratios_of(teacher, tokenizer, language: str, layers: list[int]) -> list[float]:
    """Trainer over loop, timed in turn, of every round but the first, which warms up."""
    rows = kdlib.load_reviews(language)["train"].select(range(ROWS))
    rows = kdlib.add_teacher_outputs(rows, teacher, tokenizer)
    ratios = []
    for turn in range(ROUNDS + 1):
        seconds = []
        for run in (trainer_seconds, loop_seconds):
            set_seed(0)
            student, cut = kdlib.make_student(teacher, tokenizer, layers, "trim", rows["text"])
            seconds.append(run(student, cut, kdlib.encode(rows, cut)))
        if turn:
            ratios.append(seconds[0] / seconds[1])
            print(f"  trainer {seconds[0]:.2f} s, loop {seconds[1]:.2f} s, ratio {ratios[-1]:.3f}", flush=True)
    return ratios


def main() -> None:
    """Time both students, say whether the goal is reached, and write."""
    teacher, tokenizer = kdlib.load_teacher()
    students = {}
    for name, (language, layers) in STUDENTS.items():
        ratios = ratios_of(teacher, tokenizer, language, layers)
        students[name] = {"median_ratio": statistics.median(ratios), "ratios": ratios, "reached": statistics.median(ratios) <= GOAL}
        print(f"{name}: {students[name]['median_ratio']:.3f}, goal {GOAL} {'reached' if students[name]['reached'] else 'not reached'}")
    result = {"goal": GOAL, "students": students, "rows": ROWS, **environment()}
    (Path(__file__).parent / "results" / "overhead.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
