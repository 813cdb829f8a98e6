"""The packaged teacher: multilingual E5 small in 4 bits, turned into an ordinary `transformers` checkpoint.

The file (little endian) is ``E5S1``, a header, a Unigram vocabulary, a directory of tensors, the tensors.
Matrices are Q4_0: for each 32 weights one fp16 scale and 16 bytes of 32 four-bit integers q; a weight is
(q − 8) · scale.
Source of the weights: Wang et al. (2024), Multilingual E5, arXiv:2402.05672.
"""

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from .errors import InputError
from .files import home, written_aside
from .sources import fetch

LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


def packaged_checkpoint() -> Path:
    """The folder of the converted encoder under ``KDLIB_HOME``; made the first time (about 20 s)."""
    folder = home() / "teachers" / "multilingual-e5-small"
    if not (folder / "config.json").is_file():
        config, tokenizer, tensors = read_packaged(fetch("teacher")["e5-small-q4.bin"])
        model = BertModel(config, add_pooling_layer=False)
        model.load_state_dict(tensors)
        with written_aside(folder) as aside:
            model.save_pretrained(aside)
            tokenizer.save_pretrained(aside)
    return folder


def read_packaged(path: Path) -> tuple[BertConfig, PreTrainedTokenizerFast, dict[str, torch.Tensor]]:
    """Configuration, tokenizer and state dict of a ``BertModel`` without pooler from the packaged file.

    Raises ``InputError`` for a file of another kind.
    """
    data = path.read_bytes()
    if data[:4] != b"E5S1":
        problem = f"{path} is no packaged E5 model (it starts with {data[:4]!r})"
        raise InputError(f"{problem}: delete it and run `kdlib fetch teacher`.")
    hidden, layers, heads, ffn, vocabulary, positions, types = struct.unpack_from("<7i", data, 8)
    (eps,) = struct.unpack_from("<f", data, 36)
    pieces, bos, eos, pad, unk = struct.unpack_from("<5i", data, 44)
    (blob_bytes,) = struct.unpack_from("<Q", data, 64)
    offsets = np.frombuffer(data, "<u4", pieces + 1, 72)
    at = 72 + 4 * (pieces + 1)
    scores = np.frombuffer(data, "<f4", pieces, at)
    at += 4 * pieces
    blob = data[at : at + blob_bytes]
    at += blob_bytes
    names = [blob[start:end].decode("utf-8") for start, end in pairwise(offsets)]
    (_, map_bytes) = struct.unpack_from("<iI", data, at)
    at += 8 + map_bytes

    config = BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=ffn, max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=eps,
        pad_token_id=pad, bos_token_id=bos, eos_token_id=eos,
    )  # fmt: skip
    scored = list(zip(names, scores.tolist(), strict=True))
    tokenizer = unigram_tokenizer(scored, bos, eos, pad, unk, positions)
    return config, tokenizer, read_tensors(data, at, hidden, ffn)


def unigram_tokenizer(
    vocabulary: list[tuple[str, float]], bos: int, eos: int, pad: int, unk: int, positions: int
) -> PreTrainedTokenizerFast:
    """The XLM-R tokenizer: NFKC, runs of spaces collapsed, Metaspace, Unigram pieces, ``<s> … </s>``."""
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=unk, byte_fallback=False))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    start, end = vocabulary[bos][0], vocabulary[eos][0]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", pair=f"{start} $A {end} {end} $B {end}", special_tokens=[(start, bos), (end, eos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=start, eos_token=end, cls_token=start, sep_token=end,
        pad_token=vocabulary[pad][0], unk_token=vocabulary[unk][0], model_max_length=positions,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def read_tensors(data: bytes, at: int, hidden: int, ffn: int) -> dict[str, torch.Tensor]:
    """Read the directory at ``at`` and every tensor it names, under the names of ``BertModel``."""
    tensors = {}
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode("ascii")
        _, size, start, nbytes = struct.unpack_from("<BIQQ", data, at + 2 + length)
        at += 2 + length + 21
        raw = data[start : start + nbytes]
        values = np.frombuffer(raw, "<f4", size) if nbytes == 4 * size else dequantise(raw, size)
        if not name.endswith((".b", "ln.w")):  # a matrix; only `fo.w` has rows of ffn
            values = values.reshape(-1, ffn if name.endswith(".fo.w") else hidden)
        tensors[bert_name(name)] = torch.from_numpy(values.copy())
    return tensors


def dequantise(raw: bytes, size: int) -> np.ndarray:
    """Q4_0 blocks of 18 bytes to float32: low nibbles are weights 0–15 of a block, high nibbles 16–31."""
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("q", "u1", 16)]), size // 32)
    quants = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1).astype(np.float32) - 8
    return (quants * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def bert_name(name: str) -> str:
    """``l3.q.w`` → ``encoder.layer.3.attention.self.query.weight``."""
    if name in EMBEDDING_NAMES:
        return EMBEDDING_NAMES[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{LAYER_NAMES[part]}.{'weight' if kind == 'w' else 'bias'}"
