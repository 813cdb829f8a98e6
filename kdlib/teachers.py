"""Teachers: any encoder with a classification head, and how to fine-tune it.

A teacher is a plain ``AutoModelForSequenceClassification`` checkpoint. The packaged one is multilingual E5; its shipped
LoRA adapter (``data/teacher``) was trained on Chinese and English reviews, so that it reads French without having seen any.
E5 has no pooler weights and means its embeddings as the mean over tokens; the head used here is ``BertForSequenceClassification``'s
pooler on ``<s>``, trained from scratch, so that the checkpoint stays plain (``benchmarks/pooling.py`` measures both).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, concatenate_datasets
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.trainer_utils import set_seed

from .corpora import LABEL_NAMES
from .distill import DistillationArguments, train_classifier
from .errors import explained, require
from .files import packaged, read_json, write_json, written_aside
from .packaged import packaged_checkpoint

ADAPTER_LANGUAGES = ("zh", "en")  # what the shipped adapter was trained on
LOADABLE = 'give "packaged", a folder written by save_pretrained, or a hub id that this machine can reach'


def load_teacher(name_or_path: str | Path = "packaged", *, label_names: Sequence[str] = LABEL_NAMES,
                 adapter: str | Path | None = "shipped") -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:  # fmt: skip
    """A classifier and its tokenizer, ready to label texts or to be fine-tuned.

    ``name_or_path``: ``"packaged"`` (multilingual E5), a local checkpoint, or a hub id such as
    ``bert-base-multilingual-cased``, ``xlm-mlm-100-1280`` (whose tokenizer needs `sacremoses` and has no ``word_ids()``)
    or ``xlm-roberta-base``. ``adapter`` is for the packaged teacher: ``"shipped"``, a folder that ``finetune_teacher``
    wrote, or ``None`` for the encoder with a new head; with other labels than the adapter's the head is new as well.
    Raises ``InputError`` for a folder without tokenizer, a name that cannot be loaded, and a trained head whose number of labels is
    not that of ``label_names``.
    """
    is_packaged = name_or_path == "packaged"
    model, tokenizer = load_checkpoint(str(packaged_checkpoint() if is_packaged else name_or_path), label_names)
    if is_packaged and adapter is not None:
        folder = packaged("data", "teacher") if adapter == "shipped" else Path(adapter)
        require((folder / "labels.json").is_file(), f'{folder} holds no adapter: give a folder that finetune_teacher wrote, "shipped" or None.')
        trained_names = read_json(folder / "labels.json")
        fits = adapter == "shipped" or len(trained_names) == len(label_names)
        require(fits, f"The adapter {folder} is for the labels {', '.join(trained_names)}: give these as label_names.")
        if adapter != "shipped" or list(label_names) == trained_names:
            model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload().eval()
    return model, tokenizer


def load_checkpoint(name: str, label_names: Sequence[str] | None) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Any checkpoint through ``AutoModelForSequenceClassification``; a new head where it has none. None: its own labels."""
    complete = (Path(name) / "tokenizer_config.json").is_file() or not (Path(name) / "config.json").is_file()
    require(complete, f"The checkpoint {name} has no tokenizer: save it there with tokenizer.save_pretrained({name!r}).")
    with explained(f"No model could be loaded from {name!r}", LOADABLE, OSError, ValueError, SafetensorError):
        config = AutoConfig.from_pretrained(name)
        label_names = list((config.id2label or {}).values()) if label_names is None else label_names
        tokenizer: Any = AutoTokenizer.from_pretrained(name)
        if not has_trained_head(config):
            config.update({"id2label": dict(enumerate(label_names)), "label2id": {name: i for i, name in enumerate(label_names)}})
        model = AutoModelForSequenceClassification.from_pretrained(name, config=config).eval()
    problem = f"The teacher {name} tells {config.num_labels} classes apart and the data have {len(label_names)} ({', '.join(label_names)})"
    require(config.num_labels == len(label_names), f"{problem}: choose a teacher for these classes, or fine-tune one.")
    return model, tokenizer


def load_with_head(auto: Any, name: str, **settings: Any) -> tuple[Any, PreTrainedTokenizerFast]:
    """An encoder (``"packaged"``, a local checkpoint, a hub id) through an ``AutoModelFor…``, with a new head where it has none, and its
    tokenizer. ``settings`` go to its configuration. Raises ``InputError`` for a name that cannot be loaded."""
    with explained(f"No model could be loaded from {name!r}", LOADABLE, OSError, ValueError, RuntimeError, SafetensorError):
        place = str(packaged_checkpoint() if name == "packaged" else name)
        tokenizer: Any = AutoTokenizer.from_pretrained(place)
        return auto.from_pretrained(place, **settings).eval(), tokenizer


def load_classifier(name: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A trained classifier of any number of classes, and its tokenizer: ``"packaged"``, a local checkpoint, or a hub id.

    Raises ``InputError`` for a name that cannot be loaded, and for a checkpoint without a trained classifier.
    """
    # The packaged encoder comes without a head, and the shipped adapter brings a trained one.
    model, tokenizer = load_teacher() if name == "packaged" else load_checkpoint(str(name), None)
    require(name == "packaged" or has_trained_head(model.config), f"The checkpoint {name} has no trained classifier: fine-tune it first, or give another.")
    return model, tokenizer


def has_trained_head(config: Any) -> bool:
    """Whether the checkpoint is a sequence classifier; the head of any other one is new, that is random."""
    return any("ForSequenceClassification" in kind for kind in config.architectures or [])


def finetune_teacher(teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, train: Dataset | Sequence[Dataset],
                     validation: Dataset | Sequence[Dataset], *, method: str = "lora", frozen_layers: int = 0,
                     adapter_folder: Path | None = None, seed: int = 0, max_length: int = 128, **arguments: Any) -> PreTrainedModel:  # fmt: skip
    """Fine-tune on labelled reviews and return the best epoch's model by validation accuracy, as a plain checkpoint.

    ``method``: ``"lora"`` (rank 8 on every linear map, with pooler and head trained in full), ``"full"``, or ``"frozen"``
    (embeddings and the lowest ``frozen_layers`` layers stay). ``arguments`` go to ``TrainingArguments``. The adapter is
    written to ``adapter_folder`` in 16 bits where it is given. LoRA: Hu et al. (2021), §4. Raises ``InputError`` for another
    method, and for LoRA on an architecture whose layers it does not know (XLM, DistilBERT).
    """
    require(method in ("lora", "full", "frozen"), f"method is {method!r}: choose lora, full or frozen.")
    set_seed(seed)
    model: Any = teacher
    if method == "lora":
        names, linear = [name for name, _ in teacher.named_modules()], r".*encoder.*\.(query|key|value|dense)$"
        require(any(re.fullmatch(linear, name) for name in names), f"LoRA knows no layer of a {type(teacher).__name__}: choose the method full or frozen.")
        head = [part for part in ("pooler", "classifier") if any(part in name for name in names)]
        model = get_peft_model(teacher, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=linear, modules_to_save=head))
    elif method == "frozen":
        freeze(teacher, frozen_layers)
    rows, held_out = (part if isinstance(part, Dataset) else concatenate_datasets(list(part)) for part in (train, validation))
    defaults: dict[str, Any] = {"learning_rate": 5e-4 if method == "lora" else 5e-5, "seed": seed}
    rows = rows.select_columns([name for name in rows.column_names if name != "teacher_logits"])  # it learns from labels
    train_classifier(model, tokenizer, rows, held_out, DistillationArguments(**(defaults | arguments)), max_length)
    if adapter_folder is not None:
        save_adapter(model, adapter_folder, [str(name) for name in (teacher.config.id2label or {}).values()])
    return (model.merge_and_unload() if method == "lora" else model).eval()


def freeze(model: Any, layers: int) -> None:
    """Let the embeddings and the lowest ``layers`` layers stay as they are in training."""
    for name, parameter in model.named_parameters():
        layer = next((int(part) for part in name.split(".") if part.isdigit()), None)
        parameter.requires_grad = "embeddings" not in name and (layer is None or layer >= layers)


def save_adapter(model: PeftModel, folder: Path, label_names: list[str]) -> None:
    """Write the adapter (LoRA matrices, pooler, head) as 16-bit safetensors, without the path that its base was loaded from."""
    settings: Any = model.peft_config["default"]
    if Path(settings.base_model_name_or_path or "").is_dir():
        settings.base_model_name_or_path = Path(settings.base_model_name_or_path).name
    with written_aside(folder) as aside:
        model.save_pretrained(str(aside), state_dict={key: value.half() for key, value in model.state_dict().items()})
        write_json(aside / "labels.json", label_names)
        (aside / "README.md").unlink(missing_ok=True)

