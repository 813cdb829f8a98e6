"""Teachers load from any checkpoint with the right head, and fine-tuning changes what its method says, on tiny models."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict
from peft import PeftModel
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    XLMConfig,
    XLMForSequenceClassification,
    XLMModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)

from kdlib import teachers
from kdlib.corpora import LABEL_NAMES
from kdlib.distill import add_teacher_outputs, train_classifier
from kdlib.errors import InputError
from kdlib.evaluate import predict_logits
from kdlib.files import packaged
from kdlib.teachers import finetune_teacher, load_classifier, load_teacher

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")  # peft asks transformers under an old name

NAMES = ["bad", "mixed", "good"]
TEXTS = ["the film : good", "goo goo", "le service : mauvais , really", "a"]
BEST: dict[str, Any] = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "disable_tqdm": True, "use_cpu": True}
QUICK = BEST | {"warmup_steps": 0, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}  # the last step's weights
ONE_STEP = QUICK | {"num_train_epochs": 1}

# --- checkpoints ------------------------------------------------------------------------------------------


@pytest.fixture(params=["bert", "xlm-roberta", "xlm"])
def family(
    request: pytest.FixtureRequest, tmp_path: Path, tiny_tokenizer: Any, tiny_teacher: Any, make_xlm_tokenizer: Callable[..., Any]
) -> tuple[Any, Any, Any]:
    """A bare encoder, a classifier of two classes of the same kind, and their tokenizer."""
    if request.param == "bert":
        return BertModel(tiny_teacher.config), tiny_teacher, tiny_tokenizer
    if request.param == "xlm":
        tokenizer = make_xlm_tokenizer(tmp_path / "xlm_vocabulary")
        config: Any = XLMConfig(vocab_size=len(tokenizer), emb_dim=16, n_layers=2, n_heads=2, max_position_embeddings=64, num_labels=2)
        return XLMModel(config), XLMForSequenceClassification(config).eval(), tokenizer
    pieces = json.loads(tiny_tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    tokenizer = XLMRobertaTokenizer(vocab=[tuple(piece) for piece in pieces])
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=66, type_vocab_size=1, num_labels=2,
    )  # fmt: skip
    return XLMRobertaModel(config), XLMRobertaForSequenceClassification(config).eval(), tokenizer


def save(model: PreTrainedModel, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def test_a_bare_encoder_gets_a_new_head_with_the_datas_labels(family: tuple[Any, Any, Any], tmp_path: Path) -> None:
    encoder, _, tokenizer = family
    teacher, loaded = load_teacher(save(encoder, tokenizer, tmp_path / "base"), label_names=NAMES)
    assert teacher.config.id2label == dict(enumerate(NAMES)) and teacher.config.label2id == {"bad": 0, "mixed": 1, "good": 2}
    weights, logits = teacher.base_model.state_dict(), predict_logits(teacher, loaded, TEXTS, max_length=32)
    shared = [name for name in encoder.state_dict() if name in weights]
    assert len(shared) > 20 and all(torch.equal(encoder.state_dict()[name], weights[name]) for name in shared)
    assert not teacher.training and logits.shape == (4, 3) and np.isfinite(logits).all()
    assert loaded(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"] and len(set(map(tuple, loaded(TEXTS)["input_ids"]))) == 4


def test_a_trained_classifier_stays_what_it_is(family: tuple[Any, Any, Any], tmp_path: Path) -> None:
    _, classifier, tokenizer = family
    teacher, loaded = load_teacher(str(save(classifier, tokenizer, tmp_path / "trained")), label_names=["no", "yes"])
    assert type(teacher) is type(classifier) and not teacher.training
    assert teacher.config.id2label == classifier.config.id2label
    before, after = (predict_logits(model, names, TEXTS, max_length=32) for model, names in ((classifier, tokenizer), (teacher, loaded)))
    np.testing.assert_array_equal(before, after)


def test_a_trained_classifier_for_other_classes_is_refused(family: tuple[Any, Any, Any], tmp_path: Path) -> None:
    _, classifier, tokenizer = family
    with pytest.raises(InputError, match=r"2 classes .* 3 \(bad, mixed, good\)"):
        load_teacher(save(classifier, tokenizer, tmp_path / "trained"), label_names=NAMES)


def one_sentence(error: pytest.ExceptionInfo[InputError], *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text and all(part in text for part in parts), text


def test_a_folder_without_tokenizer_is_refused(tiny_teacher: Any, tmp_path: Path) -> None:
    folder = save(tiny_teacher, None, tmp_path / "bare")
    with pytest.raises(InputError) as error:
        load_teacher(folder)
    one_sentence(error, str(folder), "no tokenizer", "tokenizer.save_pretrained")


def test_a_folder_without_weights_is_refused(tiny_teacher: Any, tiny_tokenizer: Any, tmp_path: Path) -> None:
    folder = save(tiny_teacher, tiny_tokenizer, tmp_path / "no_weights")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError) as error:
        load_teacher(folder)
    one_sentence(error, str(folder))


def test_an_unreachable_name_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, **settings: Any) -> None:
        raise OSError("We couldn't connect to the hub\nCheck your connection\nor see the manual")

    monkeypatch.setattr(AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(InputError) as error:
        load_teacher("someone/a-model")
    one_sentence(error, "'someone/a-model'", "We couldn't connect to the hub")


@pytest.mark.parametrize("content", [None, "{}", '{"model_type": "unheard-of"}'])
def test_a_folder_that_is_no_checkpoint_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_teacher(tmp_path)
    one_sentence(error, str(tmp_path))


# --- fine-tuning ------------------------------------------------------------------------------------------


def changed(before: dict[str, torch.Tensor], model: PreTrainedModel) -> set[str]:
    """The names of the weights that are no longer what they were."""
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_lora_leaves_the_base_alone_until_it_is_merged(
    tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before, seen = weights_of(tiny_teacher), {}

    def watched(model: PeftModel, *given: Any) -> Any:
        history = train_classifier(model, *given)  # type: ignore[arg-type]
        seen["trained"] = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        seen["ranks"] = {value.shape[0] for name, value in model.named_parameters() if "lora_A" in name}
        seen["weights"] = weights_of(model)
        return history

    monkeypatch.setattr(teachers, "train_classifier", watched)
    teacher = finetune_teacher(tiny_teacher, tiny_tokenizer, tiny_reviews["train"], tiny_reviews["validation"], method="lora", **QUICK)
    assert all("lora_" in name or "modules_to_save" in name for name in seen["trained"]) and seen["ranks"] == {8}
    base = {name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".original_module", ""): value
            for name, value in seen["weights"].items() if "lora_" not in name and "modules_to_save" not in name}  # fmt: skip
    assert base.keys() == before.keys() and all(torch.equal(base[name], before[name]) for name in before)
    assert all(value.abs().max() > 0 for name, value in seen["weights"].items() if "lora_B" in name)

    assert isinstance(teacher, PreTrainedModel) and not isinstance(teacher, PeftModel) and not teacher.training
    assert not any("peft" in type(module).__module__ for module in teacher.modules())
    maps = {f"bert.encoder.layer.{i}.{part}.weight" for i in range(4) for part in (
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"
    )}  # fmt: skip
    heads = {f"{part}.{kind}" for part in ("bert.pooler.dense", "classifier") for kind in ("weight", "bias")}
    assert teacher.state_dict().keys() == before.keys() and changed(before, teacher) == maps | heads
    folder = save(teacher, None, tmp_path / "plain")
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    np.testing.assert_array_equal(predict_logits(plain, tiny_tokenizer, TEXTS), predict_logits(teacher, tiny_tokenizer, TEXTS))


@pytest.mark.parametrize("layers", [0, 2])
def test_frozen_layers_stay_bit_for_bit(layers: int, tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict) -> None:
    before = weights_of(tiny_teacher)
    parts = tiny_reviews["train"], tiny_reviews["validation"]
    teacher = finetune_teacher(tiny_teacher, tiny_tokenizer, *parts, method="frozen", frozen_layers=layers, **QUICK)
    moved = changed(before, teacher)
    still = [f"bert.encoder.layer.{i}." for i in range(layers)] + ["bert.embeddings."]
    assert not [name for name in moved if name.startswith(tuple(still))]
    assert {int(name.split(".")[3]) for name in moved if "layer" in name} == set(range(layers, 4))
    assert {"bert.pooler.dense.weight", "classifier.weight"} <= moved




def test_full_fine_tuning_moves_every_weight_and_learns_the_labels(
    tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict
) -> None:
    labels = tiny_reviews["train"]["label"][:]
    rows = tiny_reviews["train"].select([labels.index(0), labels.index(1)] * 8)  # two texts, that even a tiny model tells apart
    before, texts = weights_of(tiny_teacher), list(rows["text"])[:2]
    teacher = finetune_teacher(tiny_teacher, tiny_tokenizer, rows, rows, method="full", **(QUICK | {"num_train_epochs": 30, "learning_rate": 1e-3}))
    assert isinstance(teacher, PreTrainedModel) and changed(before, teacher) == set(before)
    assert list(predict_logits(teacher, tiny_tokenizer, texts).argmax(-1)) == [0, 1]


def test_lora_returns_the_best_epoch(
    tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies: list[float] = []

    def watched(*given: Any) -> Any:
        history = train_classifier(*given)
        accuracies.extend(entry["eval_accuracy"] for entry in history if "eval_accuracy" in entry)
        return history

    monkeypatch.setattr(teachers, "train_classifier", watched)
    against = tiny_reviews["train"].map(lambda row: {"label": 1 - row["label"]})  # so that learning makes the accuracy fall
    arguments = BEST | {"num_train_epochs": 6, "learning_rate": 3e-2}
    teacher = finetune_teacher(tiny_teacher, tiny_tokenizer, tiny_reviews["train"], against, method="lora", **arguments)
    said = predict_logits(teacher, tiny_tokenizer, against["text"]).argmax(-1)
    assert (said == np.array(against["label"])).mean() == pytest.approx(max(accuracies)) and max(accuracies) > accuracies[-1]


def test_an_unknown_method_is_refused_before_training(
    tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "train_classifier", lambda *given: pytest.fail("trained"))
    with pytest.raises(InputError, match=r"'adapters'.*lora, full or frozen"):
        finetune_teacher(tiny_teacher, tiny_tokenizer, tiny_reviews["train"], tiny_reviews["validation"], method="adapters")


def test_lora_on_an_architecture_that_it_does_not_know_is_refused(
    tiny_tokenizer: Any, tiny_reviews: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "train_classifier", lambda *given: pytest.fail("trained"))
    config = DistilBertConfig(vocab_size=len(tiny_tokenizer), dim=16, hidden_dim=32, n_layers=2, n_heads=2, max_position_embeddings=64)
    model = DistilBertForSequenceClassification(config)
    with pytest.raises(InputError, match="full"):
        finetune_teacher(model, tiny_tokenizer, tiny_reviews["train"], tiny_reviews["validation"], method="lora")


def test_several_languages_are_trained_on_together_and_by_their_labels(
    isolated_home: Path, tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(teachers, "train_classifier", lambda *given: seen.extend(given))
    told = add_teacher_outputs(tiny_reviews, tiny_teacher, tiny_tokenizer)
    finetune_teacher(
        tiny_teacher, tiny_tokenizer, [told["train"], told["test"]], [told["validation"]], method="full", max_length=17, seed=4, **QUICK
    )
    _, _, train, validation, args, max_length = seen
    assert list(train["text"]) == list(tiny_reviews["train"]["text"]) + list(tiny_reviews["test"]["text"])
    assert list(validation["text"]) == list(tiny_reviews["validation"]["text"])
    assert "teacher_logits" not in train.column_names  # a teacher does not learn from its own outputs
    assert (args.seed, args.learning_rate, max_length) == (4, 1e-2, 17)




def test_one_seed_gives_one_teacher(tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict) -> None:
    parts = tiny_reviews["train"].select(range(8)), tiny_reviews["validation"]
    runs = [
        predict_logits(finetune_teacher(copy.deepcopy(tiny_teacher), tiny_tokenizer, *parts, seed=seed, **ONE_STEP), tiny_tokenizer, TEXTS)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 1e-4


# --- the adapter ------------------------------------------------------------------------------------------


def test_a_saved_adapter_gives_the_returned_model_back(
    isolated_home: Path, tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save(tiny_teacher.base_model, tiny_tokenizer, tmp_path / "of_a_user" / "encoder")
    teacher, _ = load_teacher(base)
    folder, texts = tmp_path / "adapter", list(tiny_reviews["test"]["text"])
    untrained = predict_logits(teacher, tiny_tokenizer, texts)
    fresh = copy.deepcopy(teacher)
    parts = tiny_reviews["train"], tiny_reviews["validation"]
    trained = finetune_teacher(teacher, tiny_tokenizer, *parts, adapter_folder=folder, **QUICK)
    expected = predict_logits(trained, tiny_tokenizer, texts)
    assert np.abs(expected - untrained).max() > 0.1

    assert {path.name for path in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "labels.json"}
    assert {value.dtype for value in load_file(folder / "adapter_model.safetensors").values()} == {torch.float16}
    assert json.loads((folder / "labels.json").read_text(encoding="utf-8")) == LABEL_NAMES
    assert str(tmp_path) not in (folder / "adapter_config.json").read_text(encoding="utf-8")  # no path of this machine

    merged = PeftModel.from_pretrained(fresh, str(folder)).merge_and_unload().eval()
    np.testing.assert_allclose(predict_logits(merged, tiny_tokenizer, texts), expected, atol=1e-2)
    monkeypatch.setattr(teachers, "packaged_checkpoint", lambda: base)
    loaded, tokenizer = load_teacher("packaged", adapter=folder)
    np.testing.assert_allclose(predict_logits(loaded, tokenizer, texts), expected, atol=1e-2)
    assert not isinstance(loaded, PeftModel) and not loaded.training




def test_the_packaged_teacher_takes_the_shipped_adapter_only_for_its_labels(
    tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save(tiny_teacher.base_model, tiny_tokenizer, tmp_path / "encoder")
    shipped = tmp_path / "shipped"
    parts = tiny_reviews["train"].select(range(8)), tiny_reviews["validation"]
    trained = finetune_teacher(load_teacher(base)[0], tiny_tokenizer, *parts, adapter_folder=shipped, **QUICK)
    monkeypatch.setattr(teachers, "packaged_checkpoint", lambda: base)
    monkeypatch.setattr(teachers, "packaged", lambda *names: shipped)
    encoder, adapted = weights_of(tiny_teacher.base_model), weights_of(trained.base_model)
    key = "encoder.layer.0.output.dense.weight"
    assert not torch.equal(encoder[key], adapted[key])
    for arguments, weights in (
        ({}, adapted), ({"label_names": NAMES}, encoder), ({"label_names": LABEL_NAMES[::-1]}, encoder), ({"adapter": None}, encoder),
    ):  # fmt: skip
        teacher, _ = load_teacher(**arguments)  # type: ignore[arg-type]
        torch.testing.assert_close(teacher.base_model.state_dict()[key], weights[key], atol=1e-3, rtol=1e-3)
        assert list(teacher.config.id2label.values()) == arguments.get("label_names", LABEL_NAMES)
    classifier, _ = load_classifier("packaged")  # for kdlib label and export: trained, though the encoder's file names no classifier
    torch.testing.assert_close(classifier.base_model.state_dict()[key], adapted[key], atol=1e-3, rtol=1e-3)
    with pytest.raises(InputError, match="no trained classifier"):
        load_classifier(base)


@pytest.mark.parametrize("names", [None, NAMES])
def test_an_adapter_that_does_not_fit_is_refused(
    names: list[str] | None, tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No adapter at all, or one for other classes."""
    base, folder = save(tiny_teacher.base_model, tiny_tokenizer, tmp_path / "encoder"), tmp_path / "adapter"
    if names:
        rows = tiny_reviews["train"].select(range(8)).cast_column("label", ClassLabel(names=NAMES))
        model, _ = load_teacher(base, label_names=NAMES)
        finetune_teacher(model, tiny_tokenizer, rows, rows, adapter_folder=folder, **ONE_STEP)
    monkeypatch.setattr(teachers, "packaged_checkpoint", lambda: base)
    with pytest.raises(InputError) as error:
        load_teacher("packaged", adapter=folder)
    one_sentence(error, str(folder))


def test_the_shipped_adapter_is_small_plain_and_for_the_kits_labels() -> None:
    folder = packaged("data", "teacher")
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert files.keys() >= {"adapter_config.json", "adapter_model.safetensors", "labels.json"}
    assert {Path(name).suffix for name in files} <= {".json", ".safetensors", ".md"}  # nothing that is unpickled
    assert sum(files.values()) < 2_000_000
    assert json.loads((folder / "labels.json").read_text(encoding="utf-8")) == LABEL_NAMES
    tensors = load_file(folder / "adapter_model.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert all(value.isfinite().all() for value in tensors.values())
    layers = {name.split("encoder.layer.")[1].split(".")[0] for name in tensors if "lora_A" in name}
    assert layers == {str(i) for i in range(12)} and {tensors[name].shape[0] for name in tensors if "lora_A" in name} == {8}
    assert [tuple(tensors[name].shape) for name in tensors if name.endswith("classifier.weight")] == [(2, 384)]


def test_tokenizer_and_classifier_go_on_into_the_rest_of_the_kit(
    family: tuple[Any, Any, Any], isolated_home: Path, tmp_path: Path
) -> None:
    encoder, _, tokenizer = family
    teacher, loaded = load_teacher(save(encoder, tokenizer, tmp_path / "base"))
    rows = add_teacher_outputs(Dataset.from_dict({"text": TEXTS}), teacher, loaded, max_length=32)
    folder = save(teacher, loaded, tmp_path / "teacher")
    again: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    expected = predict_logits(again, AutoTokenizer.from_pretrained(folder), TEXTS, batch_size=1, max_length=32)
    np.testing.assert_allclose(np.array(rows["teacher_logits"]), expected, atol=1e-5)


def test_the_shipped_adapter_was_trained_on_the_pinned_splits() -> None:
    """After a change of the splits it is stale, and may have seen what is now tested: run tools.train_adapter again."""
    trained = json.loads((packaged("data", "teacher") / "training.json").read_text(encoding="utf-8"))["rows"]
    pinned = json.loads((Path(__file__).parent / "reference" / "splits.json").read_text(encoding="utf-8"))
    assert sorted(trained) == sorted(teachers.ADAPTER_LANGUAGES)
    for language, splits in trained.items():
        assert splits == {name: pinned[language][name]["sha256"] for name in ("train", "validation")}
