"""Distillation: the teacher's outputs as a column of the data, and a ``Trainer`` that learns from them.

The teacher runs once over the texts (``add_teacher_outputs``); training never holds it in memory. Its outputs belong to
the text and not to token ids, so the student may cut the text with any tokenizer.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments
from transformers.trainer_callback import EarlyStoppingCallback, PrinterCallback, TrainerCallback

from .errors import require
from .evaluate import predict_logits
from .files import home, progress, written_aside
from .losses import distillation_loss, hard_target_loss

SHARD_SIZE = 1024  # texts in a cache file: what an interruption can cost at most
SHUT = -1e4  # the logit of a position where no answer may begin or end


@dataclass
class DistillationArguments(TrainingArguments):
    """``TrainingArguments`` with the three settings of distillation and the kit's defaults for small students.

    loss = (1 − alpha) · CE(student, label) + alpha · T² · KL(teacher ‖ student), both softened with T = ``temperature``
    (Hinton et al. 2015, §2); ``objective`` is ``"kl"``, ``"ce"`` (same gradient) or ``"mse"`` between logits.
    The same arguments serve a plain ``Trainer``: that is the labels-only baseline.
    """

    temperature: float = field(default=2.0, metadata={"help": "T > 0 that softens teacher and student."})
    alpha: float = field(default=0.7, metadata={"help": "Weight of the soft term, from 0 (labels only) to 1 (teacher only)."})
    objective: Literal["kl", "ce", "mse"] = field(default="kl", metadata={"help": "Soft term: kl, ce or mse."})
    early_stopping_patience: int = field(default=0, metadata={"help": "Epochs without a better validation score; 0 = off."})

    learning_rate: float = 3e-4
    per_device_train_batch_size: int = 32
    per_device_eval_batch_size: int = 64
    weight_decay: float = 0.01
    warmup_steps: float = 0.1
    train_sampling_strategy: str = "group_by_length"
    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    save_total_limit: int | None = 1
    save_only_model: bool = True
    load_best_model_at_end: bool = True
    metric_for_best_model: str | None = "accuracy"
    logging_strategy: str = "epoch"

    def __post_init__(self) -> None:
        zeros = torch.zeros(1, 2)  # the loss checks its own arguments: bad ones stop here, before any training
        distillation_loss(zeros, zeros, torch.zeros(1), self.temperature, self.alpha, "kl")
        distillation_loss(zeros, zeros, torch.zeros(1), self.temperature, self.alpha, self.objective)
        self.dataloader_pin_memory = torch.cuda.is_available()
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()  # said, or bf16 is refused there
        super().__post_init__()


class DistillationTrainer(Trainer):
    """A ``Trainer`` whose loss mixes labels with the column ``teacher_logits``; ``args`` are ``DistillationArguments``.

    Data sets come from ``encode`` or a module of ``kdlib.tasks`` and carry ``labels`` (−1 or −100 where there is none: such
    a row takes the soft term only), for training ``teacher_logits``, and ``loss_mask`` where not every position counts.
    Validation rows without teacher logits are scored by cross-entropy.
    Raises ``InputError`` when (unless ``alpha`` is 0) training rows bring no teacher logits or another number of classes than the student's.
    """

    args: DistillationArguments
    loss_is_scaled_for_ga = False  # compute_loss is a mean over the rows of the micro-batch

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.train_dataset is not None and self.args.alpha > 0:  # with alpha 0 there is nothing to learn from a teacher
            check_teacher_column(self.train_dataset, self.model, self.args.objective)  # also where it came from `model_init`
        if self.args.early_stopping_patience > 0:
            self.add_callback(EarlyStoppingCallback(self.args.early_stopping_patience))

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns: Any = sorted({*(self._signature_columns or []), "labels", "teacher_logits", "teacher_ids", "loss_mask"})

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The distillation loss of one batch (``losses.distillation_loss``)."""
        features, args = dict(inputs), self.args
        labels, teacher, mask = features.pop("labels"), features.pop("teacher_logits", None), features.pop("loss_mask", None)
        chosen = features.pop("teacher_ids", None)
        outputs = model(**features)
        if "start_logits" in outputs:  # the classes are the positions; where no answer may begin or end, none has a chance
            shut, mask = (mask == 0)[:, None], None
            logits = torch.stack([outputs.start_logits, outputs.end_logits], 1).masked_fill(shut, SHUT)
            teacher = None if teacher is None else teacher.transpose(1, 2).masked_fill(shut, SHUT)
        else:
            logits = outputs.logits
            mask = labels >= 0 if mask is None and labels.dim() > 1 else mask  # the pieces of a target, without its padding
        if chosen is not None:  # of each position the teacher's likeliest classes are kept: it gives the others no chance
            teacher = torch.full_like(logits, SHUT).scatter(-1, chosen, teacher.to(logits.dtype))
        if teacher is None:
            loss = hard_target_loss(logits, labels, mask)
        else:
            loss = distillation_loss(logits, teacher, labels, args.temperature, args.alpha, args.objective, mask)
        return (loss, outputs) if return_outputs else loss


def check_teacher_column(dataset: Dataset, student: Any, objective: str = "kl") -> None:
    """Raise ``InputError`` where ``teacher_logits`` is absent or has not one number for each of the student's classes."""
    require("teacher_logits" in dataset.column_names, "The training set has no column teacher_logits: call add_teacher_outputs(dataset, …) first.")
    if "teacher_ids" in dataset.column_names:
        require(objective != "mse", "Of the teacher's logits only the highest are known: choose the objective kl or ce.")
        return
    width, classes = np.shape(dataset[0]["teacher_logits"])[-1], student.config.num_labels
    require(width == classes, f"The teacher tells {width} classes apart and the student {classes}: make it from this teacher, or give both the same labels.")


def encode(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int = 128) -> Dataset:
    """Token ids for training: columns input_ids, attention_mask, labels and, where present, teacher_logits.

    A label of −1 (none) becomes −100, which every loss skips; texts are cut after ``max_length`` tokens.
    """

    def one_batch(batch: Mapping[str, Any]) -> dict[str, Any]:
        encoded = tokenizer(batch["text"], truncation=True, max_length=max_length)
        return {**encoded, "labels": [-100 if label < 0 else label for label in batch["label"]]}

    others = [name for name in dataset.column_names if name != "teacher_logits"]
    return dataset.map(one_batch, batched=True, remove_columns=others, keep_in_memory=True)


def by_length(encoded: Dataset) -> Dataset:
    """The rows in order of length, so that batches hold little padding."""
    return encoded.select(np.argsort([len(ids) for ids in encoded["input_ids"]], kind="stable"))


def accuracy_metric(output: Any) -> dict[str, float]:
    """``compute_metrics`` for a ``Trainer``: the accuracy over rows that have a label."""
    logits, labels = output
    return {"accuracy": float((logits.argmax(-1) == labels)[labels >= 0].mean())}


class StepBar(TrainerCallback):
    """One bar over all optimisation steps, with the last validation accuracy."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar = progress(range(state.max_steps), "training")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the bar by one step."""
        self.bar.update()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the validation accuracy."""
        self.bar.set_postfix_str(f"validation accuracy {kwargs['metrics']['eval_accuracy']:.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar.close()


def set_dropout(model: PreTrainedModel, share: float) -> None:
    """Set every dropout layer: soft targets leave little to overfit, and on a processor random numbers take time."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share


def train_classifier(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, train: Dataset, validation: Dataset,
                     args: DistillationArguments, max_length: int = 128) -> list[dict[str, Any]]:  # fmt: skip
    """Train in place: on the teacher where ``train`` has ``teacher_logits``, else on labels with a plain ``Trainer``.

    Afterwards the model holds the best epoch by validation accuracy. Returns the log (loss and accuracy by epoch).
    """
    rows, held_out = encode(train, tokenizer, max_length), by_length(encode(validation, tokenizer, max_length))
    # A processor compiles its products anew for each length of a batch, and keeps them: fewer lengths are faster and smaller.
    collator = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=None if max_length % 8 else 8)
    kind = DistillationTrainer if "teacher_logits" in train.column_names else Trainer
    return train_encoded(model, rows, args, collator, kind, eval_dataset=held_out, compute_metrics=accuracy_metric)


def train_encoded(model: Any, rows: Dataset, args: DistillationArguments, collator: Any, kind: type[Trainer] = DistillationTrainer,
                  **options: Any) -> list[dict[str, Any]]:  # fmt: skip
    """Train in place on encoded rows and return the log; ``options`` go to the ``Trainer``."""
    stop = [EarlyStoppingCallback(args.early_stopping_patience)] if kind is Trainer and args.early_stopping_patience > 0 else []
    attention = model.config._attn_implementation  # measured on a processor in bfloat16: the fused kernel is the slower one
    fused = attention == "sdpa" and args.bf16 and next(model.parameters()).device.type == "cpu"
    switch = getattr(model, "set_attn_implementation", lambda name: None)
    switch("eager" if fused else attention)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = kind(model=model, args=replace(args, output_dir=scratch, disable_tqdm=True), train_dataset=rows, data_collator=collator,
                       callbacks=[StepBar(), *stop], **options)  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # or bfloat16 would stay in its forward pass, and judge it
    switch(attention)
    model.eval()
    return trainer.state.log_history


def add_teacher_outputs(dataset: Dataset | DatasetDict, teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
                        max_length: int = 128, batch_size: int = 32, bf16: bool = False) -> Any:  # fmt: skip
    """The data set with a column ``teacher_logits`` (K numbers a row), computed once and cached under ``KDLIB_HOME``.

    The cache is keyed by the weights, the tokenizer, the settings and the texts, in shards of 1,024 texts: an interrupted
    run goes on at the shard where it stopped. A shard that cannot be read is computed again, and said so. With ``bf16``
    the teacher multiplies in bfloat16 (two to three digits), several times faster on machines with units for it.
    """
    if isinstance(dataset, DatasetDict):
        return DatasetDict({k: add_teacher_outputs(part, teacher, tokenizer, max_length, batch_size, bf16) for k, part in dataset.items()})
    folder, texts = home() / "teacher_outputs" / fingerprint(teacher, tokenizer, max_length, *["bf16"] * bf16), list(dataset["text"])
    logits = [np.zeros((0, int(teacher.config.num_labels or 0)), np.float32)]
    for start in progress(range(0, len(texts), SHARD_SIZE), "teacher labels texts"):
        shard = texts[start : start + SHARD_SIZE]
        file = folder / f"{hashlib.sha256(json.dumps(shard).encode()).hexdigest()[:24]}.safetensors"
        if (values := read_shard(file, len(shard))) is None:
            with torch.autocast(teacher.device.type, torch.bfloat16, enabled=bf16):
                values = predict_logits(teacher, tokenizer, shard, batch_size, max_length)
            write_shard(file, values)
        logits.append(values)
    others = [name for name in dataset.column_names if name != "teacher_logits"]
    return dataset.select_columns(others).add_column("teacher_logits", np.concatenate(logits).tolist())


def fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *settings: Any) -> str:
    """A digest of the weights, the tokenizer and the settings, equal exactly when all of them are (wherever they lie)."""
    saved = ("_name_or_path", "architectures", "dtype", "transformers_version")  # of the checkpoint, not of the function
    config = {name: value for name, value in model.config.to_dict().items() if name not in saved}
    digest = hashlib.sha256(json.dumps([config, tokenizer_rules(tokenizer), settings], sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:24]


def tokenizer_rules(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """All that decides how a text is cut: settings, vocabulary and, of a fast tokenizer, every step, of a slow one its files."""
    settings = {name: value for name, value in vars(tokenizer).items() if isinstance(value, int | str) and name != "name_or_path"}
    if tokenizer.is_fast:
        tokenizer("")  # forgets the truncation and padding of the last call, which are no rules
        return [settings, hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(file).read_bytes() for file in tokenizer.save_vocabulary(folder)]
    return [settings, tokenizer.get_vocab(), [hashlib.sha256(content).hexdigest() for content in files]]


def write_shard(file: Path, values: np.ndarray) -> None:
    """Write one shard with its own checksum, aside and then into place."""
    with written_aside(file) as aside:
        save_file({"logits": values}, aside, metadata={"sha256": hashlib.sha256(values.tobytes()).hexdigest()})


def read_shard(file: Path, rows: int) -> np.ndarray | None:
    """The logits of one shard; ``None`` where there is no file or where it is damaged (which is said)."""
    with suppress(SafetensorError, OSError, KeyError, TypeError), safe_open(file, framework="numpy") as shard:
        values = shard.get_tensor("logits")
        if len(values) == rows and shard.metadata()["sha256"] == hashlib.sha256(values.tobytes()).hexdigest():
            return values
    if file.exists():
        print(f"The cache file {file.name} is damaged: its {rows} texts are labelled again.")
    return None
