"""Distil a student on one process or on many: the same script, the same losses.

    accelerate launch --cpu --num_processes 2 train.py STUDENT ROWS --output OUT        two processes on a processor
    accelerate launch --config_file eight_gpus.yaml train.py STUDENT ROWS --output OUT  eight GPUs

STUDENT is a checkpoint of the BERT family with its tokenizer (`save_pretrained`); ROWS is a data set with the teacher's outputs, written by
`kdlib.add_teacher_outputs(...).save_to_disk(ROWS)`: the teacher has run before, once, and no process holds it. OUT receives
the trained student and `losses.json`, the loss of every step over the global batch.

`--global-batch` is the number of rows of one optimisation step, over all processes together: with twice the processes each
takes half of them, and the step stays the same. Dropout is off unless asked for: its random numbers differ from process to process.
"""

import argparse
import json
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from datasets import Dataset, load_from_disk
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, PrinterCallback, set_seed

import kdlib
from kdlib.losses import distillation_loss


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", type=Path, help="checkpoint folder of the student and its tokenizer")
    parser.add_argument("rows", type=Path, help="data set with a column teacher_logits, from save_to_disk")
    parser.add_argument("--output", type=Path, required=True, help="folder for the trained student and losses.json")
    parser.add_argument("--way", choices=["loop", "trainer"], default="loop", help="the loop below, or DistillationTrainer")
    parser.add_argument("--global-batch", type=int, default=32, help="rows of one step, over all processes")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--alpha", type=float, default=0.7)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def by_loop(args: argparse.Namespace, student: torch.nn.Module, rows: Dataset, collate: DataCollatorWithPadding) -> list[float]:
    """Train and save with a loop of our own; the loss of each step, its mean over the global batch."""
    copies = DataLoaderConfiguration(non_blocking=True)  # with pinned memory, copies to a GPU do not wait
    accelerator = Accelerator(dataloader_config=copies)  # knows from `accelerate launch` who it is, and which precision was asked for
    order = torch.Generator().manual_seed(args.seed)  # the same order of rows in every process
    size, pinned = args.global_batch // accelerator.num_processes, torch.cuda.is_available()
    loader = DataLoader(rows, size, shuffle=True, generator=order, collate_fn=collate, pin_memory=pinned)
    optimizer = torch.optim.AdamW(student.parameters(), lr=args.learning_rate, weight_decay=0.01)
    model, optimizer, loader = accelerator.prepare(student, optimizer, loader)  # devices, copies of the model, shares of the data
    losses = []
    model.train()
    for _ in range(args.epochs):
        for batch in loader:
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            loss = distillation_loss(logits, batch["teacher_logits"], batch["labels"], args.temperature, args.alpha)
            accelerator.backward(loss)  # scales the loss where the precision needs it, averages gradients over processes
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(accelerator.reduce(loss.detach(), "mean"))  # stays on the device: reading it would be one more wait
    weights = accelerator.get_state_dict(model)  # by every process: with FSDP each holds a part
    if accelerator.is_main_process:
        student.save_pretrained(args.output, state_dict=weights)
    return [loss.item() for loss in losses]


def by_trainer(
    args: argparse.Namespace, student: torch.nn.Module, rows: Dataset, collate: DataCollatorWithPadding
) -> list[float]:
    """Train and save with the kit's trainer, which calls `accelerate` by itself; the logged loss of each step."""
    processes = Accelerator().num_processes
    settings = kdlib.DistillationArguments(
        output_dir=str(args.output), temperature=args.temperature, alpha=args.alpha, learning_rate=args.learning_rate, seed=args.seed,
        per_device_train_batch_size=args.global_batch // processes, num_train_epochs=args.epochs, train_sampling_strategy="random",
        warmup_steps=0, lr_scheduler_type="constant", eval_strategy="no", save_strategy="no", load_best_model_at_end=False,
        logging_strategy="steps", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    trainer = kdlib.DistillationTrainer(model=student, args=settings, train_dataset=rows, data_collator=collate)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(args.output))
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def main() -> None:
    """Load, train, write."""
    args, processes = arguments(), Accelerator().num_processes
    if args.global_batch < 1 or args.global_batch % processes:
        raise SystemExit(f"--global-batch is {args.global_batch}: give a multiple of the {processes} processes, so that each has its share.")
    set_seed(args.seed)
    dropout = {"hidden_dropout_prob": args.dropout, "attention_probs_dropout_prob": args.dropout}
    student = AutoModelForSequenceClassification.from_pretrained(args.student, **dropout)
    tokenizer = AutoTokenizer.from_pretrained(args.student)
    rows = kdlib.encode(load_from_disk(args.rows), tokenizer, args.max_length)
    way = by_trainer if args.way == "trainer" else by_loop
    losses = way(args, student, rows, DataCollatorWithPadding(tokenizer))
    if Accelerator().is_main_process:  # one of the processes writes
        tokenizer.save_pretrained(args.output)
        (args.output / "losses.json").write_text(json.dumps(losses), encoding="utf-8")


if __name__ == "__main__":
    main()
