"""Students for production: ONNX files in float32 and int8, and a classifier that runs them on ONNX Runtime.

To run the files takes `onnxruntime` and `tokenizers`, and neither PyTorch nor kdlib; to write them, ``pip install kdlib[onnx]``.
"""

import copy
import importlib.util
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import softmax
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from .errors import InputError, require
from .evaluate import agreement, batches_by_length, check_texts, evaluate
from .files import packaged, read_json, write_json, written_aside
from .teachers import load_classifier

INPUTS = ("input_ids", "attention_mask")
FILES = {"model.onnx", "model.int8.onnx", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md"}


def export_onnx(checkpoint: PreTrainedModel | Path | str, tokenizer: PreTrainedTokenizerFast | None, folder: Path | str,
                quantize: bool = True) -> Path:  # fmt: skip
    """Write a classifier as ONNX and return its folder: model.onnx (float32), model.int8.onnx, tokenizer, config.json, README.md.

    ``checkpoint`` is a model together with its ``tokenizer``, or a name that `teachers.load_classifier` takes (a folder that
    holds both, ``"packaged"``). Both files take ``input_ids`` and ``attention_mask`` (int64 [batch, tokens], any batch, any
    length that the model knows) and give ``logits`` [batch, K].

    model.int8.onnx has its matrices, a scale for each column, and its embeddings, one scale for each table, as 8-bit
    integers; the inputs of a matrix are quantised as they come, with one scale and zero point for all tokens of the
    batch. That scale is coarse where a few values are far larger than the others, as after a GELU, and the errors of
    the layers add up: in models of more than two layers the matrices that follow a GELU stay float32. See `parity`.

    Raises ``InputError``: without `onnx`, `onnxruntime` and `onnxscript`; a folder without checkpoint, trained head or
    fast tokenizer; a model that does not export, such as a BiLSTM; ``folder`` that cannot be written or holds other files.

    Source: Jacob et al. (2018), "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", section 2.1 (scale and zero point).
    """
    require_packages("onnx", "onnxruntime", "onnxscript")
    import onnx

    model, tokenizer = (checkpoint, tokenizer) if isinstance(checkpoint, PreTrainedModel) else load_classifier(checkpoint)
    usable = tokenizer is not None and tokenizer.is_fast and tokenizer.pad_token_id is not None
    require(usable, "There is no fast tokenizer with a padding token (tokenizer.json): give the one that the model was trained with.")
    target = Path(folder).resolve()
    others = sorted({path.name for path in (target.iterdir() if target.is_dir() else [target] * target.exists())} - FILES)[:3]
    require(not others, f"There is something else at {target} ({', '.join(others)}): choose a new folder, since an export replaces the whole.")
    with written_aside(target, folder=True) as aside:
        onnx.save(graph := trace(model), aside / "model.onnx")
        if quantize:
            quantize_int8(graph, aside / "model.int8.onnx", layers=model.config.num_hidden_layers)
        own: Any = copy.deepcopy(tokenizer)
        own("", truncation=True, max_length=min(128, own.model_max_length), padding=True)  # so that tokenizer.json cuts and pads by itself
        own.save_pretrained(aside)
        labels = {"id2label": {str(i): name for i, name in sorted((model.config.id2label or {}).items())}}
        write_json(aside / "config.json", model.config.to_diff_dict() | labels)
        (aside / "README.md").write_bytes(packaged("notebooks", "reports", "onnx_card.md").read_bytes())
    return target


def trace(model: PreTrainedModel) -> Any:
    """The float32 graph as an ``onnx.ModelProto``, without the source lines and paths that the exporter writes into it."""
    plain = copy.deepcopy(model).float().cpu().eval()
    plain.set_attn_implementation("eager")
    example = {name: torch.ones(2, 8, dtype=torch.long) for name in INPUTS}  # two tensors: one alone would become one input
    sizes = {name: {0: "batch", 1: "tokens"} for name in INPUTS}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it talks about packages that nobody needs here
    try:
        with warnings.catch_warnings(action="ignore"):
            program: Any = torch.onnx.export(plain, (), kwargs=example, dynamo=True, dynamic_shapes=sizes, external_data=False,
                                             input_names=INPUTS, output_names=["logits"], verbose=False)  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        raise InputError(f"A {type(model).__name__} does not export to ONNX: give a student of make_student.") from error
    proto = program.model_proto
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.initializer, *proto.functions):
        del part.metadata_props[:]
    return proto


def quantize_int8(proto: Any, path: Path, layers: int) -> None:
    """Write the graph with 8-bit weights; what follows a GELU stays float32 in models of more than two layers."""
    from onnx.helper import set_model_props
    from onnxruntime.quantization import QuantType, quantize_dynamic

    activations = {node.output[0] for node in proto.graph.node if node.op_type in ("Gelu", "Relu")}
    spared = [node.name for node in proto.graph.node if node.op_type == "MatMul" and node.input[0] in activations]
    set_model_props(proto, {"onnx.quant.pre_process": "onnxruntime.quant"})  # shapes and constants are known already
    quantize_dynamic(proto, path, per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=spared if layers > 2 else [])


def require_packages(*names: str) -> None:
    """Raise ``InputError`` where one of the packages is not installed."""
    missing = ", ".join(name for name in names if importlib.util.find_spec(name) is None)
    require(not missing, f"ONNX needs packages that are missing ({missing}): pip install kdlib[onnx].")


class OnnxClassifier:
    """A classifier that `export_onnx` wrote, run by ONNX Runtime on the processor.

    ``labels`` are the K names of the classes, in the order of the logits. ``threads`` counts the threads of one call,
    None takes all cores. Raises ``InputError`` without `onnxruntime`, for a folder without one of the files, and for
    threads below 1.
    """

    def __init__(self, folder: Path | str, int8: bool = True, threads: int | None = None) -> None:
        require_packages("onnxruntime")
        import onnxruntime

        require(threads is None or threads >= 1, f"threads is {threads}: give 1 or more, or None for all cores.")
        model, home = "model.int8.onnx" if int8 else "model.onnx", Path(folder)
        missing = ", ".join(name for name in (model, "config.json", "tokenizer.json") if not (home / name).is_file())
        require(not missing, f"{folder} holds no {missing}: write it with kdlib export, or choose int8 as it was exported.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0: as many as there are cores
        self.session = onnxruntime.InferenceSession(home / model, options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(home / "tokenizer.json"))
        self.labels: list[str] = list(read_json(home / "config.json")["id2label"].values())

    def predict_logits(self, texts: Sequence[str], batch_size: int = 64, max_length: int = 128) -> np.ndarray:
        """Logits [n, K] in float32, in the order of ``texts``, as `kdlib.predict_logits` gives them for a model.

        Batches hold texts of similar length, in characters. In int8 a text's logits depend a little on the other texts
        of its batch, which share the scale of the activations; ``batch_size=1`` rules that out.

        Raises ``InputError`` for what is no list of strings.
        """
        texts = check_texts(texts)
        self.tokenizer.enable_truncation(max_length)
        logits = np.zeros((len(texts), len(self.labels)), np.float32)
        for rows in batches_by_length([len(text) for text in texts], batch_size):
            batch = self.tokenizer.encode_batch([texts[row] for row in rows])
            inputs = [text.ids for text in batch], [text.attention_mask for text in batch]
            (logits[rows],) = self.session.run(["logits"], dict(zip(INPUTS, map(np.array, inputs), strict=True)))
        return logits


def parity(reference_logits: ArrayLike, other_logits: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """What an export changed: both [n, K] on the same texts with ``labels`` [n]; shares lie in [0, 1].

    Returns ``n``, ``agreement`` (the share of texts with the same class), ``reference_accuracy``, ``accuracy``, and
    ``largest_difference``, of any probability. Raises ``InputError`` as `kdlib.evaluate`.
    """
    pair = [np.asarray(logits, float) for logits in (reference_logits, other_logits)]
    before, after = (evaluate(labels, logits, [*map(str, range(pair[0].shape[-1]))]).accuracy for logits in pair)
    gap = float(np.abs(softmax(pair[0], axis=-1) - softmax(pair[1], axis=-1)).max())
    return {"n": len(pair[0]), "agreement": agreement(*pair), "reference_accuracy": before, "accuracy": after, "largest_difference": gap}
