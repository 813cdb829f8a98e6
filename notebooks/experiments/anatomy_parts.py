"""What the rows of ``anatomy`` are made of: students before training, parts that learn alone, the stage that copies the teacher's features."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import set_seed

from kdlib import experiment, files, losses
from kdlib.distill import fingerprint
from kdlib.students import make_bilstm_student, make_student

from .table import taught

SHORT, FEATURE_TEXTS, FEATURE_EPOCHS = 40, 800, 4  # tokens, texts and epochs of the stage in which features are copied
LINEAR = r".*encoder.*\.(query|key|value|dense)$"  # what LoRA adds to


@cache
def cut(language: str, shape: str) -> tuple[Any, Any]:
    """A student cut out of the teacher; ``shape`` are the arguments of `make_student`, as JSON."""
    data, teacher, _ = taught(language)
    return make_student(*teacher, texts=[*data["train"]["text"], *data["transfer"]["text"]], **json.loads(shape))


def make(language: str, seed: int, kind: str = "bert", start: str = "teacher", width: int | None = None, **shape: Any) -> tuple[Any, Any]:
    """The student before training: cut out of the teacher, or of the same shape with other numbers in it."""
    set_seed(seed)
    if kind == "bilstm":
        data, teacher, _ = taught(language)
        return make_bilstm_student(*teacher, [*data["train"]["text"], *data["transfer"]["text"]], shape["embedding_size"], shape["hidden_size"])
    model, tokenizer = copy.deepcopy(cut(language, json.dumps(shape)))
    if start == "teacher":
        return model, tokenizer
    if width:
        model.config.hidden_size, model.config.intermediate_size, model.config.num_attention_heads = width, 4 * width, width // 32
    fresh: Any = type(model)(model.config)
    if start == "embeddings":
        kept = {name: value for name, value in model.state_dict().items() if "embeddings" in name}
        fresh.load_state_dict(kept, strict=False)
    return fresh.eval(), tokenizer


class Adapter(nn.Module):
    """A linear map followed by a bottleneck with a short cut around it, which is zero at the start (Houlsby et al. 2019)."""

    def __init__(self, linear: nn.Linear, width: int) -> None:
        super().__init__()
        self.linear, self.down, self.up = linear, nn.Linear(linear.out_features, width), nn.Linear(width, linear.out_features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, in] to […, out]."""
        y = self.linear(x)
        return y + self.up(nn.functional.gelu(self.down(y)))


def freeze(model: Any, trained: str, rank: int) -> Any:
    """Leave only a part of the student to be trained: ``all``, ``layers``, ``head``, ``lora`` or ``adapter``."""
    if trained == "lora":
        head = ["pooler", "classifier"]
        return get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=rank, lora_alpha=2 * rank, target_modules=LINEAR, modules_to_save=head))
    if trained == "adapter":
        for layer in model.base_model.encoder.layer:
            layer.attention.output.dense, layer.output.dense = (Adapter(block.output.dense, rank) for block in (layer.attention, layer))
    learns = {"all": ("",), "layers": ("encoder", "pooler", "classifier"), "head": ("pooler", "classifier"), "adapter": ("down", "up.", "pooler", "classifier")}
    for name, parameter in model.named_parameters():
        parameter.requires_grad = any(part in name for part in learns[trained])
    return model


def relation_states(model: Any, out: Any) -> dict[str, torch.Tensor]:
    """Queries, keys and values of the last layer, [B, S, H] each."""
    attention = model.base_model.encoder.layer[-1].attention.self
    return {name: getattr(attention, name)(out.hidden_states[-2]) for name in ("query", "key", "value")}


@cache
def teacher_states(language: str) -> tuple[list[list[str]], dict[str, torch.Tensor]]:
    """Batches of short transfer texts, and what goes on inside of the teacher when it reads them: computed once, kept on disk."""
    data, (teacher, tokenizer), settings = taught(language)
    lengths = [len(ids) for ids in tokenizer(list(data["transfer"]["text"]), verbose=False)["input_ids"]]
    short = [(length, text) for length, text in zip(lengths, data["transfer"]["text"], strict=True) if length <= SHORT][:FEATURE_TEXTS]
    texts = [text for _, text in sorted(short)]
    batches = [texts[i : i + 32] for i in range(0, len(texts), 32)]

    def build(folder: Path) -> None:
        saved = {}
        teacher.set_attn_implementation("eager")  # the only one that returns attentions
        for number, batch in enumerate(batches):
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bool(settings.bf16)):
                out = teacher(**tokenizer(batch, padding=True, return_tensors="pt"), output_hidden_states=True, output_attentions=True)
                states = {f"hidden {n}": out.hidden_states[n] for n in (1, 6, 12)} | relation_states(teacher, out)
            states |= {"logits": out.logits, "attention": out.attentions[-1]}
            saved |= {f"{number} {name}": value.half().contiguous() for name, value in states.items()}
        teacher.set_attn_implementation("sdpa")
        save_file(saved, folder / "states.safetensors")

    return batches, load_file(files.kept("anatomy", experiment.digest(fingerprint(teacher, tokenizer), batches), build) / "states.safetensors")


def copy_features(model: Any, tokenizer: Any, language: str, feature: str, teacher_layer: int) -> None:
    """The stage before distillation: make the student's last layer resemble a layer of the teacher, in place."""
    batches, saved = teacher_states(language)
    width, needed = model.config.hidden_size, saved["0 hidden 12"].shape[-1]
    project = None if width == needed else nn.Linear(width, needed)
    optimiser = torch.optim.AdamW([*model.parameters(), *(project.parameters() if project else [])], 5e-4)
    model.set_attn_implementation("eager")
    for number in torch.cat([torch.randperm(len(batches)) for _ in range(FEATURE_EPOCHS)]).tolist():
        batch = tokenizer(batches[number], padding=True, return_tensors="pt")
        out, mask = model(**batch, output_hidden_states=True, output_attentions=True), batch["attention_mask"]
        target = {name: saved[f"{number} {name}"].float() for name in ("logits", "attention", f"hidden {teacher_layer}", "query", "key", "value")}
        if feature == "logits":  # the control: as many steps on the same texts, without a look inside
            loss = losses.soft_target_loss(out.logits, target["logits"], 2.0)
        elif feature == "hidden":
            loss = losses.hidden_state_loss(out.hidden_states[-1:], [target[f"hidden {teacher_layer}"]], mask, [(0, 0)], project)
        elif feature == "attention":
            loss = losses.attention_loss(out.attentions[-1:], [target["attention"]], mask, [(0, 0)])
        elif feature == "cosine":
            loss = losses.embedding_cosine_loss(out.hidden_states[-1], target["hidden 12"], mask)
        else:
            own = relation_states(model, out)
            loss = torch.stack([losses.minilm_relation_loss(own[name], target[name], mask, 12) for name in own]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.set_attn_implementation("sdpa")
