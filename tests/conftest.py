"""What holds for every test: no network, no bars, no window, the same examples in every run; and tiny models to share."""

import copy
import gc
import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from chromium import browser  # noqa: F401  a fixture of tests/browser and tests/book
from hypothesis import settings

# Before any test imports transformers or matplotlib, which read these when they are imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["KDLIB_QUIET"] = "1"
os.environ["MPLBACKEND"] = "Agg"

settings.register_profile("kdlib", deadline=None, derandomize=True)
settings.load_profile("kdlib")

SUBJECTS = ["the film", "this old book", "la chambre de cet hôtel", "咖啡", "the battery of my second phone", "le service"]
VERDICTS = {0: ["awful and dull", "bad", "mauvais", "很差"], 1: ["great fun", "good", "excellent", "很好"]}
ENDINGS = ["", " , really", " in every way that I can think of"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The report first: it takes longest, and with two processes the others fill the time beside it."""
    items.sort(key=lambda item: item.path.name != "test_report.py")


def pytest_collection_finish() -> None:
    """Let ``gc.collect``, which accelerate calls at every training, pass over all that was imported: half of the time."""
    gc.freeze()


@pytest.fixture
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``KDLIB_HOME`` of this test's own."""
    home = tmp_path / "kdlib_home"
    monkeypatch.setenv("KDLIB_HOME", str(home))
    return home


@pytest.fixture
def tiny_tokenizer(made_once: tuple[Any, Any]) -> Any:
    """A Unigram tokenizer as the packaged teacher's, for ``tiny_reviews``; a copy of this test's own."""
    return copy.deepcopy(made_once[0])


@pytest.fixture
def tiny_teacher(made_once: tuple[Any, Any]) -> Any:
    """A BERT classifier of four layers with random weights, of which both classes occur; a copy of this test's own."""
    return copy.deepcopy(made_once[1])


@pytest.fixture(scope="session")
def made_once(tiny_reviews: Any) -> tuple[Any, Any]:
    """``tiny_tokenizer`` and ``tiny_teacher``."""
    tokenizer = make_tokenizer(tiny_reviews)
    return tokenizer, make_teacher(tokenizer, tiny_reviews)


def make_tokenizer(tiny_reviews: Any) -> Any:
    """A Unigram tokenizer as the packaged teacher's, of the characters and some of the words of ``tiny_reviews``."""
    from kdlib.packaged import unigram_tokenizer

    texts = [text for part in tiny_reviews.values() for text in part["text"]]
    characters = sorted(set("".join(texts)) - {" "})
    words = sorted({f"▁{word}" for text in texts for word in text.split()})[::2]
    pieces = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")] + [("▁", -4.0)]
    pieces += [(c, -6.0 - i / 100) for i, c in enumerate(characters)] + [(w, -3.0 - i / 100) for i, w in enumerate(words)]
    return unigram_tokenizer(pieces, [0, 2, 1, 3], model_max_length=128)


def make_teacher(tiny_tokenizer: Any, tiny_reviews: Any) -> Any:
    """A BERT classifier whose logits spread about 0, so that both classes occur."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, set_seed

    set_seed(0)
    config = BertConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=128, pad_token_id=tiny_tokenizer.pad_token_id, initializer_range=0.2,
        id2label={0: "negative", 1: "positive"}, label2id={"negative": 0, "positive": 1},
    )  # fmt: skip
    teacher = BertForSequenceClassification(config).eval()
    texts = [text for part in tiny_reviews.values() for text in part["text"]]
    with torch.no_grad():
        logits = teacher(**tiny_tokenizer(texts, padding=True, return_tensors="pt")).logits
        scale = 1 / logits.std(0)
        teacher.classifier.weight.mul_(scale[:, None])
        teacher.classifier.bias.sub_(scale * logits.mean(0))
    return teacher


@pytest.fixture
def make_xlm_tokenizer() -> Callable[..., Any]:
    """Makes an ``XLMTokenizer`` (which has no fast kind) from a small vocab.json and merges.txt in a folder."""
    from transformers import XLMTokenizer

    def make(folder: Path, merges: str = "g o\ngo o\n", **settings: Any) -> Any:
        letters = "abcdefghijklmnopqrstuvwxyz"
        pieces = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{i}>" for i in range(10)), "go", "goo", "oo", *letters]
        pieces += [f"{letter}</w>" for letter in letters]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}), encoding="utf-8")
        (folder / "merges.txt").write_text(merges, encoding="utf-8")
        return XLMTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), **settings)

    return make


@pytest.fixture(scope="session")
def tiny_reviews() -> Any:
    """Reviews of two to about fifteen words with the kit's columns: 32 train, 16 validation, 16 test, 32 transfer without label."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    made = [(f"{s} : {v}{e}", label) for label in VERDICTS for s, v, e in product(SUBJECTS, VERDICTS[label], ENDINGS)]
    rows = [made[i * 53 % len(made)] for i in range(len(made))]  # 53 and 144 have no common divisor: a fixed shuffle
    features = Features({"text": Value("string"), "label": ClassLabel(names=["negative", "positive"])})
    features |= {name: Value("string") for name in ("language", "source", "id")}
    splits, start = {}, 0
    for name, size in {"train": 32, "validation": 16, "test": 16, "transfer": 32}.items():
        texts, labels = zip(*rows[start : start + size], strict=True)
        columns = {"text": texts, "label": [-1] * size if name == "transfer" else labels, "language": ["en"] * size}
        columns |= {"source": ["made"] * size, "id": [f"made-{start + i}" for i in range(size)]}
        splits[name] = Dataset.from_dict(columns, Features(features))
        start += size
    return DatasetDict(splits)
