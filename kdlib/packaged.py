"""The packaged teacher: multilingual E5 small in 4 bits, turned into an ordinary `transformers` checkpoint.

The file (little endian) is ``E5S1``, a header, a Unigram vocabulary, a directory of tensors, the tensors.
Matrices are Q4_0: for each 32 weights one fp16 scale and 16 bytes of 32 four-bit integers q; a weight is
(q − 8) · scale.
Source of the weights: Wang et al. (2024), Multilingual E5, arXiv:2402.05672.
"""

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from .errors import require
from .files import kept, save
from .sources import fetch

NAMES = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings", "ln": "LayerNorm",
         "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
         "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm"}  # fmt: skip


def packaged_checkpoint() -> Path:
    """The folder of the converted encoder under ``KDLIB_HOME``; made the first time (about 20 s)."""

    def build(folder: Path) -> None:
        config, tokenizer, tensors = read_packaged(fetch("teacher")["e5-small-q4.bin"])
        model = BertModel(config, add_pooling_layer=False)
        model.load_state_dict(tensors)
        save(folder, model, tokenizer)

    return kept("teachers", "multilingual-e5-small", build)


def read_packaged(path: Path) -> tuple[BertConfig, PreTrainedTokenizerFast, dict[str, torch.Tensor]]:
    """Configuration, tokenizer and state dict of a ``BertModel`` without pooler from the packaged file.

    Raises ``InputError`` for a file of another kind.
    """
    data = path.read_bytes()
    require(data[:4] == b"E5S1", f"{path} is no packaged E5 model (it starts with {data[:4]!r}): delete it and run `kdlib fetch teacher`.")
    hidden, layers, heads, ffn, rows, positions, types, eps = struct.unpack_from("<7if", data, 8)
    pieces, bos, eos, pad, unk, size = struct.unpack_from("<5iQ", data, 44)
    at, scores = 76 + 8 * pieces, np.frombuffer(data, "<f4", pieces, 76 + 4 * pieces).tolist()  # at: where the pieces start
    spans = pairwise(at + np.frombuffer(data, "<u4", pieces + 1, 72))
    vocabulary = [(data[start:end].decode("utf-8"), score) for (start, end), score in zip(spans, scores, strict=True)]
    at += size + 8  # past the pieces and the head of a map that nobody reads
    at += struct.unpack_from("<I", data, at - 4)[0]
    config = BertConfig(vocab_size=rows, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                        intermediate_size=ffn, max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=eps,
                        pad_token_id=pad, bos_token_id=bos, eos_token_id=eos)  # fmt: skip
    return config, unigram_tokenizer(vocabulary, [bos, eos, pad, unk], model_max_length=positions), read_tensors(data, at, hidden, ffn)


def unigram_tokenizer(vocabulary: list[tuple[str, float]], special: list[int], **options: Any) -> PreTrainedTokenizerFast:
    """The XLM-R tokenizer: NFKC, runs of spaces collapsed, Metaspace, Unigram pieces, ``<s> … </s>``.

    ``special``: the ids of ``<s>``, ``</s>``, ``<pad>`` and ``<unk>``.
    """
    bos, eos, pad, unk = (vocabulary[i][0] for i in special)
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=special[3], byte_fallback=False))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    ids, single, pair = [(bos, special[0]), (eos, special[1])], f"{bos} $A {eos}", f"{bos} $A {eos} {eos} $B {eos}"
    backend.post_processor = processors.TemplateProcessing(single, pair, special_tokens=ids)
    options |= {"bos_token": bos, "eos_token": eos, "cls_token": bos, "sep_token": eos, "pad_token": pad, "unk_token": unk}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], **options)


def read_tensors(data: bytes, at: int, hidden: int, ffn: int) -> dict[str, torch.Tensor]:
    """Read the directory at ``at`` and every tensor it names, under the names of ``BertModel``."""
    tensors = {}
    count, at = struct.unpack_from("<i", data, at)[0], at + 4
    for _ in range(count):
        end = at + 2 + struct.unpack_from("<H", data, at)[0]
        name = data[at + 2 : end].decode("ascii")
        _, size, start, nbytes = struct.unpack_from("<BIQQ", data, end)
        at, raw = end + 21, data[start : start + nbytes]
        values = np.frombuffer(raw, "<f4") if nbytes == 4 * size else dequantise(raw)
        if not name.endswith((".b", "ln.w")):  # a matrix; only `fo.w` has rows of ffn
            values = values.reshape(-1, ffn if name.endswith(".fo.w") else hidden)
        place, part, kind = f"{name}.w".split(".")[:3]  # l3.q.w, or emb.word: without a kind it is a weight
        folder = "embeddings" if place == "emb" else f"encoder.layer.{place[1:]}"
        tensors[f"{folder}.{NAMES[part]}.{'weight' if kind == 'w' else 'bias'}"] = torch.from_numpy(values.copy())
    return tensors


def dequantise(raw: bytes) -> np.ndarray:
    """Q4_0 blocks of 18 bytes to float32: low nibbles are weights 0–15 of a block, high nibbles 16–31."""
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("q", "u1", 16)]))
    quants = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1).astype(np.float32) - 8
    return (quants * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)
