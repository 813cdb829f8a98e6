"""The teacher's outputs stay with their texts and are computed once; the trainer's loss is the formula's, step by step."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, concatenate_datasets
from scipy.special import log_softmax, softmax
from tokenizers import normalizers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    set_seed,
)

from kdlib import distill
from kdlib.distill import (
    DistillationArguments,
    DistillationTrainer,
    accuracy_metric,
    add_teacher_outputs,
    by_length,
    encode,
    fingerprint,
    read_shard,
    train_classifier,
    write_shard,
)
from kdlib.errors import InputError
from kdlib.evaluate import predict_logits
from kdlib.losses import distillation_loss
from kdlib.vocabulary import trim_vocabulary

# --- independent computations and small helpers -----------------------------------------------------------


def one_by_one(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Any, max_length: int = 128) -> np.ndarray:
    """Logits [n, K] of each text on its own: no batch, no padding, no sorting."""
    rows = [tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt") for text in texts]
    with torch.no_grad():
        return np.concatenate([model.eval()(**row).logits.numpy() for row in rows])


def loss_by_hand(
    student: np.ndarray, teacher: np.ndarray, labels: list[int], temperature: float, alpha: float, objective: str
) -> float:
    """(1 − alpha) · CE + alpha · soft, written out with NumPy; rows without a label count with 0 in CE."""
    student, teacher = student.astype(np.float64), teacher.astype(np.float64)
    hard = -sum(log_softmax(row)[label] for row, label in zip(student, labels, strict=True) if label >= 0) / len(labels)
    p, log_q = softmax(teacher / temperature, axis=-1), log_softmax(student / temperature, axis=-1)
    soft = {
        "kl": temperature**2 * (p * (np.log(p) - log_q)).sum(-1).mean(),
        "ce": temperature**2 * -(p * log_q).sum(-1).mean(),
        "mse": ((student - teacher) ** 2).mean(),
    }[objective]
    return float((1 - alpha) * hard + alpha * soft)


def make_small(teacher: PreTrainedModel, seed: int = 1, dropout: float = 0.0, **changes: Any) -> BertForSequenceClassification:
    """A student of one layer with random weights; without dropout unless it is asked for."""
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers, config.initializer_range = 1, 0.2
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    for name, value in changes.items():
        setattr(config, name, value)
    set_seed(seed)
    return BertForSequenceClassification(config)


def arguments(folder: Path, **changes: Any) -> DistillationArguments:
    """Plain gradient descent in the order of the rows, so that runs can be compared number by number."""
    plain: dict[str, Any] = {
        "output_dir": str(folder), "num_train_epochs": 1, "per_device_train_batch_size": 16, "optim": "sgd", "learning_rate": 0.1,
        "lr_scheduler_type": "constant", "warmup_steps": 0, "weight_decay": 0.0, "max_grad_norm": 0.0,
        "train_sampling_strategy": "sequential", "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False,
        "logging_strategy": "steps", "logging_steps": 1, "disable_tqdm": True, "use_cpu": True,
    }  # fmt: skip
    return DistillationArguments(**(plain | changes))


def make_trainer(model: Any, tokenizer: Any, rows: Dataset, args: DistillationArguments, kind: Any = DistillationTrainer) -> Any:
    return kind(model=model, args=args, train_dataset=encode(rows, tokenizer), data_collator=DataCollatorWithPadding(tokenizer))


def train(model: Any, tokenizer: Any, rows: Dataset, args: DistillationArguments, kind: Any = DistillationTrainer) -> list[float]:
    """Train ``model`` in place; the losses by step."""
    trainer = make_trainer(model, tokenizer, rows, args, kind)
    trainer.train()
    model.eval()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def distance(one: PreTrainedModel, other: PreTrainedModel) -> float:
    """The largest difference between two models' parameters."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def teacher_logits(dataset: Dataset) -> np.ndarray:
    return np.array(dataset["teacher_logits"])


def count_calls(model: torch.nn.Module) -> list[int]:
    """A list that grows by the batch size at every forward pass."""
    calls: list[int] = []
    model.register_forward_pre_hook(lambda *given: calls.append(len(given[2]["input_ids"])), with_kwargs=True)
    return calls


@pytest.fixture
def mixed(isolated_home: Path, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any) -> Dataset:
    """64 rows with teacher outputs; half have no label, unevenly spread over micro-batches of eight."""
    rows = concatenate_datasets([tiny_reviews["train"], tiny_reviews["transfer"]])
    order = [*range(14), *range(32, 41), *range(14, 26), *range(41, 64), *range(26, 32)]
    rows = add_teacher_outputs(rows, tiny_teacher, tiny_tokenizer).select(order)
    unlabelled = [sum(label < 0 for label in rows["label"][start : start + 8]) for start in range(0, 64, 8)]
    assert len(set(unlabelled)) > 3  # else accumulation would not be tested
    return rows


@pytest.fixture
def labelled(mixed: Dataset) -> Dataset:
    return mixed.filter(lambda row: row["label"] >= 0)


# --- the teacher's outputs --------------------------------------------------------------------------------


@pytest.mark.parametrize("max_length", [128, 7])
@pytest.mark.parametrize("order", ["as it is", "reversed", "shuffled"])
def test_each_row_has_the_teachers_logits_for_its_text_alone(
    order: str, max_length: int, isolated_home: Path, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    rows = tiny_reviews["train"]
    expected = dict(zip(rows["text"], one_by_one(tiny_teacher, tiny_tokenizer, rows["text"], max_length), strict=True))
    rows = {"as it is": rows, "reversed": rows.select(range(len(rows))[::-1]), "shuffled": rows.shuffle(seed=1)}[order]
    got = add_teacher_outputs(rows, tiny_teacher, tiny_tokenizer, max_length=max_length, batch_size=5)
    assert list(got["text"]) == list(rows["text"])
    np.testing.assert_allclose(teacher_logits(got), [expected[text] for text in rows["text"]], atol=1e-5)


def test_every_split_gets_its_column_and_nothing_else_changes(
    isolated_home: Path, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    got = add_teacher_outputs(tiny_reviews, tiny_teacher, tiny_tokenizer)
    assert isinstance(got, DatasetDict) and list(got) == list(tiny_reviews)
    for name, part in got.items():
        np.testing.assert_allclose(teacher_logits(part), one_by_one(tiny_teacher, tiny_tokenizer, part["text"]), atol=1e-5)
        rest = part.remove_columns("teacher_logits")
        assert rest.features == tiny_reviews[name].features and rest.to_dict() == tiny_reviews[name].to_dict()


def test_an_older_column_is_replaced_and_no_rows_are_fine(
    isolated_home: Path, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    rows = tiny_reviews["test"]
    old = rows.add_column("teacher_logits", [[9.0, 9.0]] * len(rows))
    got = add_teacher_outputs(old, tiny_teacher, tiny_tokenizer)
    np.testing.assert_allclose(teacher_logits(got), one_by_one(tiny_teacher, tiny_tokenizer, rows["text"]), atol=1e-5)
    empty = add_teacher_outputs(rows.select([]), tiny_teacher, tiny_tokenizer)
    assert len(empty) == 0 and "teacher_logits" in empty.column_names
    assert concatenate_datasets([got, empty])["teacher_logits"][:] == got["teacher_logits"][:]


def test_outputs_do_not_depend_on_the_students_tokenizer(mixed: Dataset, tiny_tokenizer: Any) -> None:
    other, _ = trim_vocabulary(tiny_tokenizer, mixed["text"][:4])
    ours, theirs = encode(mixed, tiny_tokenizer), encode(mixed, other)
    assert ours["input_ids"][:] != theirs["input_ids"][:]
    for encoded in (ours, theirs):
        np.testing.assert_array_equal(teacher_logits(encoded), teacher_logits(mixed))


# --- the cache --------------------------------------------------------------------------------------------


def test_the_second_call_reads_what_the_first_computed(
    isolated_home: Path, tmp_path: Path, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    calls = count_calls(tiny_teacher)
    first = add_teacher_outputs(tiny_reviews, tiny_teacher, tiny_tokenizer)
    assert sum(calls) == sum(map(len, tiny_reviews.values()))
    second = add_teacher_outputs(tiny_reviews, tiny_teacher, tiny_tokenizer, batch_size=3)
    tiny_teacher.save_pretrained(tmp_path / "teacher")
    tiny_tokenizer.save_pretrained(tmp_path / "teacher")
    again: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "teacher").eval()
    more = count_calls(again)
    third = add_teacher_outputs(tiny_reviews, again, AutoTokenizer.from_pretrained(tmp_path / "teacher"))
    assert sum(calls) == sum(map(len, tiny_reviews.values())) and not more
    for name, part in first.items():
        assert part["teacher_logits"][:] == second[name]["teacher_logits"][:] == third[name]["teacher_logits"][:]
    assert isolated_home in next(isolated_home.rglob("*.safetensors")).parents


def change_weights(teacher: Any, tokenizer: Any, rows: Dataset) -> tuple[Any, Any, Dataset, int]:
    with torch.no_grad():
        teacher.bert.encoder.layer[2].output.dense.bias[3] += 0.5
    return teacher, tokenizer, rows, 128


def change_label_free_settings(teacher: Any, tokenizer: Any, rows: Dataset) -> tuple[Any, Any, Dataset, int]:
    teacher.config.layer_norm_eps = 0.5  # no weight, but another function
    changed = BertForSequenceClassification(teacher.config)
    changed.load_state_dict(teacher.state_dict())
    return changed, tokenizer, rows, 128


def change_vocabulary(teacher: Any, tokenizer: Any, rows: Dataset) -> tuple[Any, Any, Dataset, int]:
    return teacher, trim_vocabulary(tokenizer, rows["text"][:2], keep_characters=False)[0], rows, 128


def change_normaliser(teacher: Any, tokenizer: Any, rows: Dataset) -> tuple[Any, Any, Dataset, int]:
    changed = copy.deepcopy(tokenizer)  # the vocabulary stays
    changed.backend_tokenizer.normalizer = normalizers.Replace("e", "o")
    return teacher, changed, rows, 128


def change_truncation_side(teacher: Any, tokenizer: Any, rows: Dataset) -> tuple[Any, Any, Dataset, int]:
    changed = copy.deepcopy(tokenizer)
    changed.truncation_side = "left"
    return teacher, changed, rows, 9


def change_max_length(teacher: Any, tokenizer: Any, rows: Dataset) -> tuple[Any, Any, Dataset, int]:
    return teacher, tokenizer, rows, 6


def change_text(teacher: Any, tokenizer: Any, rows: Dataset) -> tuple[Any, Any, Dataset, int]:
    return teacher, tokenizer, rows.map(lambda row, i: {"text": row["text"] + " good" * (i == 5)}, with_indices=True), 128


CHANGES = [
    change_weights, change_label_free_settings, change_vocabulary, change_normaliser, change_truncation_side, change_max_length,
    change_text,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_whatever_changes_the_outputs_misses_the_cache(
    change: Callable[..., Any], isolated_home: Path, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    rows = tiny_reviews["test"]
    before = [teacher_logits(add_teacher_outputs(rows, tiny_teacher, tiny_tokenizer, max_length=n)) for n in (128, 9)]
    teacher, tokenizer, changed, max_length = change(tiny_teacher, tiny_tokenizer, rows)
    after = teacher_logits(add_teacher_outputs(changed, teacher, tokenizer, max_length=max_length))
    expected = one_by_one(teacher, tokenizer, changed["text"], max_length)
    assert min(np.abs(expected - values).max() for values in before) > 1e-3  # else nothing was tested
    np.testing.assert_allclose(after, expected, atol=1e-5)


def test_the_key_knows_slow_tokenizers(tmp_path: Path, tiny_teacher: Any, make_xlm_tokenizer: Callable[..., Any]) -> None:
    """XLM's has its merges and settings beside its vocabulary."""
    made = [make_xlm_tokenizer(tmp_path / "a"), make_xlm_tokenizer(tmp_path / "b"), make_xlm_tokenizer(tmp_path / "c", "o o\n")]
    same, again, other = (fingerprint(tiny_teacher, tokenizer, 128) for tokenizer in made)
    cased = fingerprint(tiny_teacher, make_xlm_tokenizer(tmp_path / "d", do_lowercase_and_remove_accent=False), 128)
    assert made[0]("good")["input_ids"] != made[2]("good")["input_ids"] and made[0].get_vocab() == made[2].get_vocab()
    assert same == again and len({same, other, cased}) == 3


def test_the_key_takes_every_tensor_type_and_no_traces_of_use(tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    tiny_teacher.register_buffer("steps", torch.tensor(3))
    before = fingerprint(tiny_teacher, tiny_tokenizer, 128)
    tiny_tokenizer(["good"], padding="max_length", truncation=True, max_length=5)  # a fast tokenizer remembers these
    assert fingerprint(tiny_teacher, tiny_tokenizer, 128) == before
    tiny_teacher.steps += 1
    assert fingerprint(tiny_teacher, tiny_tokenizer, 128) != before
    assert fingerprint(tiny_teacher.to(torch.bfloat16), tiny_tokenizer, 128) != before


def test_an_interrupted_run_goes_on_where_it_stopped(
    isolated_home: Path, monkeypatch: pytest.MonkeyPatch, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    monkeypatch.setattr(distill, "SHARD_SIZE", 6)
    rows, seen = tiny_reviews["test"], []

    def interrupted(teacher: Any, tokenizer: Any, texts: list[str], *settings: Any) -> np.ndarray:
        seen.append(texts)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return predict_logits(teacher, tokenizer, texts, *settings)

    monkeypatch.setattr(distill, "predict_logits", interrupted)
    with pytest.raises(KeyboardInterrupt):
        add_teacher_outputs(rows, tiny_teacher, tiny_tokenizer)
    got = add_teacher_outputs(rows, tiny_teacher, tiny_tokenizer)
    texts = list(rows["text"])
    assert seen == [texts[:6], texts[6:12], texts[6:12], texts[12:]]
    np.testing.assert_allclose(teacher_logits(got), one_by_one(tiny_teacher, tiny_tokenizer, texts), atol=1e-5)
    assert all(path.suffix == ".safetensors" for path in isolated_home.rglob("*") if path.is_file())


def flip_a_byte(content: bytes) -> bytes:
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


@pytest.mark.parametrize("damage", [flip_a_byte, lambda content: content[:-5], lambda content: content[:20], lambda content: b""])
def test_a_damaged_shard_is_computed_again_and_said(
    damage: Callable[[bytes], bytes], isolated_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(distill, "SHARD_SIZE", 6)
    rows, calls = tiny_reviews["test"], count_calls(tiny_teacher)
    first = add_teacher_outputs(rows, tiny_teacher, tiny_tokenizer)
    assert capsys.readouterr().out == ""
    file = max(isolated_home.rglob("*.safetensors"), key=lambda path: path.stat().st_size)  # the last one holds four texts
    content = file.read_bytes()
    file.write_bytes(damage(content))
    calls.clear()
    second = add_teacher_outputs(rows, tiny_teacher, tiny_tokenizer)
    said = capsys.readouterr().out
    assert sum(calls) == 6  # and no other shard
    assert second["teacher_logits"][:] == first["teacher_logits"][:]
    assert said.count("\n") == 1 and file.name in said and "6 texts" in said
    assert file.read_bytes() == content


def test_no_single_wrong_byte_in_a_shard_goes_unnoticed(tmp_path: Path) -> None:
    file, values = tmp_path / "shard.safetensors", np.array([[0.5, -2.25], [3.0, 1e-3]], np.float32)
    write_shard(file, values)
    content = file.read_bytes()
    np.testing.assert_array_equal(read_shard(file, 2), values)
    for place in range(len(content)):
        for mask in (1, 32):
            file.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
            read = read_shard(file, 2)
            assert read is None or (read.dtype == values.dtype and np.array_equal(read, values)), (place, mask)
    file.write_bytes(content)
    assert read_shard(file, 3) is None and read_shard(tmp_path / "none", 2) is None


# --- encoding and small parts -----------------------------------------------------------------------------


def test_encode_keeps_the_rows_and_marks_what_has_no_label(mixed: Dataset, tiny_tokenizer: Any) -> None:
    encoded = encode(mixed, tiny_tokenizer, max_length=9)
    assert set(encoded.column_names) == {*tiny_tokenizer.model_input_names, "labels", "teacher_logits"}
    assert encoded["labels"][:] == [label if label >= 0 else -100 for label in mixed["label"]]
    assert encoded["input_ids"][:] == [tiny_tokenizer(text, truncation=True, max_length=9)["input_ids"] for text in mixed["text"]]
    assert max(map(len, encoded["input_ids"])) == 9
    assert "teacher_logits" not in encode(mixed.remove_columns("teacher_logits"), tiny_tokenizer).column_names


def test_by_length_only_changes_the_order(mixed: Dataset, tiny_tokenizer: Any) -> None:
    encoded = encode(mixed, tiny_tokenizer)
    lengths = list(map(len, by_length(encoded)["input_ids"]))
    assert lengths == sorted(map(len, encoded["input_ids"])) != list(map(len, encoded["input_ids"]))
    key = json.dumps
    assert sorted(by_length(encoded).to_list(), key=key) == sorted(encoded.to_list(), key=key)


def test_accuracy_is_over_the_rows_with_a_label() -> None:
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]])
    assert accuracy_metric((logits, np.array([0, 0, -100, 1]))) == {"accuracy": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0), ("temperature", -1.0), ("temperature", float("inf")), ("temperature", float("nan")),
        ("alpha", -0.1), ("alpha", 1.1), ("alpha", float("nan")), ("objective", "cosine"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("others", [{}, {"objective": "mse"}])
def test_bad_settings_stop_before_any_training(name: str, value: Any, others: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        DistillationArguments(**({"output_dir": str(tmp_path)} | others | {name: value}))


@pytest.mark.parametrize(("name", "value"), [("alpha", 0), ("alpha", 1), ("temperature", 0.1), ("objective", "ce")])
def test_the_ends_of_the_ranges_are_allowed(name: str, value: Any, tmp_path: Path) -> None:
    assert getattr(DistillationArguments(output_dir=str(tmp_path), **{name: value}), name) == value


# --- the loss of a training step --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("temperature", "alpha", "objective"), [(2.0, 0.7, "kl"), (5.0, 0.4, "ce"), (3.0, 0.2, "mse"), (4.0, 0.0, "kl")]
)
def test_the_first_step_has_the_loss_of_the_formula(
    temperature: float, alpha: float, objective: Any, tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    student, batch = make_small(tiny_teacher), mixed.select(range(8, 24))
    assert 0 < sum(label < 0 for label in batch["label"]) < 16
    logits, settings = one_by_one(student, tiny_tokenizer, batch["text"]), (temperature, alpha, objective)
    expected = loss_by_hand(logits, teacher_logits(batch), batch["label"][:], *settings)
    tensors = torch.tensor(logits), torch.tensor(teacher_logits(batch)), torch.tensor(batch["label"][:])
    args = arguments(tmp_path, temperature=temperature, alpha=alpha, objective=objective)
    (loss,) = train(student, tiny_tokenizer, batch, args)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert float(distillation_loss(*tensors, *settings)) == pytest.approx(expected, rel=1e-4)


def test_two_micro_batches_of_eight_are_one_batch_of_sixteen(
    tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    start, whole, parts = (make_small(tiny_teacher) for _ in range(3))
    losses = train(whole, tiny_tokenizer, mixed, arguments(tmp_path))
    sizes = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
    accumulated = train(parts, tiny_tokenizer, mixed, arguments(tmp_path, **sizes))
    assert len(losses) == 4 and accumulated == pytest.approx(losses, rel=1e-4)
    assert distance(whole, start) > 1e-3 and distance(whole, parts) < 1e-5


def test_labels_alone_are_the_loss_of_a_plain_trainer(
    tmp_path: Path, labelled: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    start, ours, plain = (make_small(tiny_teacher) for _ in range(3))
    args = arguments(tmp_path, alpha=0.0, num_train_epochs=2)
    losses = train(ours, tiny_tokenizer, labelled, args)
    without = labelled.remove_columns("teacher_logits")
    assert losses == pytest.approx(train(plain, tiny_tokenizer, without, args, Trainer), rel=1e-4)
    assert distance(ours, start) > 1e-3 and distance(ours, plain) < 1e-5


def test_a_plain_trainer_skips_rows_without_label(tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    batch, student = mixed.select(range(8, 24)), make_small(tiny_teacher)
    known = [i for i, label in enumerate(batch["label"]) if label >= 0]
    logits = one_by_one(student, tiny_tokenizer, batch.select(known)["text"])
    expected = loss_by_hand(logits, logits, batch.select(known)["label"][:], 1.0, 0.0, "kl")
    (loss,) = train(student, tiny_tokenizer, batch.remove_columns("teacher_logits"), arguments(tmp_path), Trainer)
    assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mark", [-1, -100])
def test_rows_without_label_take_the_soft_term_only(
    mark: int, tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    rows = mixed.filter(lambda row: row["label"] < 0).select(range(16))
    student = make_small(tiny_teacher)
    trainer = make_trainer(student, tiny_tokenizer, rows, arguments(tmp_path, alpha=0.3))
    batch = next(iter(trainer.get_train_dataloader()))
    batch["labels"][:] = mark
    loss, outputs = trainer.compute_loss(student, batch, return_outputs=True)
    expected = loss_by_hand(outputs.logits.detach().numpy(), teacher_logits(rows), [-1] * 16, 2.0, 0.3, "kl")
    assert expected > 0.01 and loss.item() == pytest.approx(expected, rel=1e-4)
    assert expected == pytest.approx(0.3 * loss_by_hand(outputs.logits.detach().numpy(), teacher_logits(rows), [-1] * 16, 2.0, 1.0, "kl"))


def test_validation_is_scored_by_labels_or_with_teacher_logits_by_the_whole_loss(
    tmp_path: Path, labelled: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    student = make_small(tiny_teacher)
    trainer = make_trainer(student, tiny_tokenizer, labelled, arguments(tmp_path))
    logits, labels = one_by_one(student, tiny_tokenizer, labelled["text"]), labelled["label"][:]
    hard = trainer.evaluate(encode(labelled.remove_columns("teacher_logits"), tiny_tokenizer))["eval_loss"]
    assert hard == pytest.approx(loss_by_hand(logits, logits, labels, 1.0, 0.0, "kl"), rel=1e-4)
    both = trainer.evaluate(encode(labelled, tiny_tokenizer))["eval_loss"]
    assert both == pytest.approx(loss_by_hand(logits, teacher_logits(labelled), labels, 2.0, 0.7, "kl"), rel=1e-4)


# --- rows and their teacher outputs -----------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
def test_batches_keep_texts_and_outputs_together(
    strategy: str, tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    encoded = encode(mixed, tiny_tokenizer).add_column("id", mixed["id"][:])  # a column that no model takes
    args = arguments(tmp_path, train_sampling_strategy=strategy)
    trainer = DistillationTrainer(
        model=make_small(tiny_teacher), args=args, train_dataset=encoded, data_collator=DataCollatorWithPadding(tiny_tokenizer)
    )
    expected = {tuple(row["input_ids"]): (row["teacher_logits"], row["labels"]) for row in encoded.to_list()}
    seen = []
    for batch in trainer.get_train_dataloader():
        assert set(batch) == {*tiny_tokenizer.model_input_names, "labels", "teacher_logits"}
        assert batch["teacher_logits"].dtype == torch.float32
        for ids, mask, logits, label in zip(*(batch[name] for name in ("input_ids", "attention_mask", "teacher_logits", "labels")), strict=True):
            seen.append(tuple(ids[mask.bool()].tolist()))
            assert expected[seen[-1]] == (pytest.approx(logits.tolist()), int(label))
    assert sorted(seen) == sorted(expected)
    assert (seen == list(expected)) == (strategy == "sequential")


def test_other_outputs_give_another_loss(tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    moved = mixed.remove_columns("teacher_logits").add_column("teacher_logits", mixed["teacher_logits"][1:] + mixed["teacher_logits"][:1])
    args = arguments(tmp_path, per_device_train_batch_size=64)
    (one,), (other,) = (train(make_small(tiny_teacher), tiny_tokenizer, rows, args) for rows in (mixed, moved))
    assert abs(one - other) > 1e-3




@pytest.mark.parametrize(("max_length", "lengths"), [(24, {8, 16, 24}), (10, set(range(11)))])
def test_batches_have_few_lengths_and_none_above_the_limit(
    max_length: int, lengths: set[int], tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    """Each length of a batch costs a processor time and memory; a limit that is no multiple of 8 may be all that the positions allow."""
    student, seen = make_small(tiny_teacher), set()
    student.register_forward_pre_hook(lambda module, args, inputs: seen.add(inputs["input_ids"].shape[1]), with_kwargs=True)
    train_classifier(student, tiny_tokenizer, mixed, mixed, arguments(tmp_path, per_device_train_batch_size=2), max_length)
    assert seen <= lengths and max(seen) == max(lengths)


def test_an_overfitted_student_says_what_the_teacher_says(
    tmp_path: Path, mixed: Dataset, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    rows, student = mixed.shuffle(seed=3).select(range(24)), make_small(tiny_teacher)
    said = one_by_one(tiny_teacher, tiny_tokenizer, rows["text"]).argmax(-1)  # not from the column
    assert 6 <= said.sum() <= 18
    before = predict_logits(student, tiny_tokenizer, rows["text"]).argmax(-1)
    changes: dict[str, Any] = {"optim": "adamw_torch", "learning_rate": 1e-2, "train_sampling_strategy": "group_by_length"}
    train(student, tiny_tokenizer, rows, arguments(tmp_path, alpha=1.0, num_train_epochs=25, per_device_train_batch_size=8, **changes))
    after = predict_logits(student, tiny_tokenizer, rows["text"]).argmax(-1)
    assert (before == said).mean() < 0.9 and (after == said).all()


# --- whole trainings --------------------------------------------------------------------------------------


def test_training_rows_without_teacher_logits_are_refused(tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(InputError, match="teacher_logits"):
        make_trainer(make_small(tiny_teacher), tiny_tokenizer, mixed.remove_columns("teacher_logits"), arguments(tmp_path))


def test_another_number_of_classes_is_refused(tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    student = make_small(tiny_teacher, num_labels=3)
    with pytest.raises(InputError, match=r"2 classes .* 3"):
        make_trainer(student, tiny_tokenizer, mixed, arguments(tmp_path))


def test_a_model_may_come_from_a_function(tmp_path: Path, mixed: Dataset, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    """``model_init``, as hyperparameter searches use it."""
    encoded = encode(mixed, tiny_tokenizer)
    trainer = DistillationTrainer(
        model_init=lambda: make_small(tiny_teacher), args=arguments(tmp_path), train_dataset=encoded,
        data_collator=DataCollatorWithPadding(tiny_tokenizer),
    )  # fmt: skip
    assert len(trainer.get_train_dataloader()) == 4


@pytest.mark.parametrize(("patience", "epochs", "with_teacher"), [(1, 2, True), (1, 2, False), (2, 3, True), (0, 4, True)])
def test_early_stopping_stops(
    patience: int, epochs: int, with_teacher: bool, tmp_path: Path, labelled: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    rows = labelled.select(range(8))
    rows = rows if with_teacher else rows.remove_columns("teacher_logits")
    changes: dict[str, Any] = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    args = arguments(tmp_path, learning_rate=0.0, num_train_epochs=4, early_stopping_patience=patience, **changes)
    history = train_classifier(make_small(tiny_teacher), tiny_tokenizer, rows, rows, args)
    assert sum("eval_accuracy" in entry for entry in history) == epochs


@pytest.mark.parametrize("with_teacher", [True, False])
def test_after_training_the_model_is_that_of_the_best_epoch(
    with_teacher: bool, tmp_path: Path, labelled: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    rows = labelled if with_teacher else labelled.remove_columns("teacher_logits")
    against = rows.map(lambda row: {"label": 1 - row["label"]})  # so that learning makes the accuracy fall
    changes: dict[str, Any] = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True, "alpha": 0.0}
    args = arguments(tmp_path / "unused", optim="adamw_torch", learning_rate=1e-2, num_train_epochs=6, **changes)
    student = make_small(tiny_teacher, initializer_range=0.05)
    history = train_classifier(student, tiny_tokenizer, rows, against, args)
    accuracies = [entry["eval_accuracy"] for entry in history if "eval_accuracy" in entry]
    logits = predict_logits(student, tiny_tokenizer, against["text"])
    assert len(accuracies) == 6 and accuracies[-1] < max(accuracies)
    assert (logits.argmax(-1) == np.array(against["label"])).mean() == pytest.approx(max(accuracies))
    assert not student.training and not (tmp_path / "unused").exists()
    assert student.config._attn_implementation == "sdpa"  # as it was before, and as it loads


@pytest.mark.parametrize("with_teacher", [True, False])
def test_after_training_in_bfloat16_the_model_is_judged_in_float32(
    with_teacher: bool, tmp_path: Path, labelled: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    rows = labelled if with_teacher else labelled.remove_columns("teacher_logits")
    student = make_small(tiny_teacher, initializer_range=0.05)
    train_classifier(student, tiny_tokenizer, rows, rows, arguments(tmp_path / "unused", learning_rate=1e-3, num_train_epochs=1, bf16=True))
    student.save_pretrained(tmp_path / "saved")
    saved: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(*(predict_logits(model, tiny_tokenizer, rows["text"]) for model in (student, saved)))


def test_the_default_arguments_serve_both_trainers_and_one_seed_gives_one_student(
    tmp_path: Path, labelled: Dataset, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    def trained(seed: int, rows: Dataset) -> PreTrainedModel:
        student = make_small(tiny_teacher, dropout=0.2)
        args = DistillationArguments(output_dir=str(tmp_path), num_train_epochs=1, per_device_train_batch_size=8, seed=seed)
        history = train_classifier(student, tiny_tokenizer, rows, labelled, args)
        assert any("eval_accuracy" in entry for entry in history)
        return student

    first, second, other = (trained(seed, labelled) for seed in (5, 5, 6))
    assert distance(first, second) == 0 and distance(first, other) > 1e-5
    plain, again = (trained(5, labelled.remove_columns("teacher_logits")) for _ in range(2))
    assert distance(plain, again) == 0 and distance(plain, first) > 1e-5
