"""Costs against hand counts, a clock of the test's own, and what the operating system says."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from kdlib import profile
from kdlib.errors import InputError
from kdlib.profile import profile_model

WORDS = "[PAD] [CLS] [SEP] [UNK] a bb ccc".split()
TEXTS = ["a", "a a a a a a", "bb bb", "ccc ccc ccc ccc ccc ccc ccc ccc", "bb bb bb bb"]
HIDDEN, LAYERS, FFN, CLASSES = 16, 2, 24, 3


def make_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=inputs, **special)


def bert(attention: str = "sdpa") -> PreTrainedModel:
    settings: dict[str, Any] = {
        "vocab_size": len(WORDS), "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
        "num_attention_heads": 2, "intermediate_size": FFN, "max_position_embeddings": 16,
        "num_labels": CLASSES, "attn_implementation": attention,
    }  # fmt: skip
    return BertForSequenceClassification(BertConfig(**settings))


class LinearConfig(PreTrainedConfig):
    model_type = "test-linear"


class LinearClassifier(PreTrainedModel):
    """The sum of the tokens' embeddings and a linear layer: no more than input_ids and attention_mask."""

    config_class = LinearConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = torch.nn.Embedding(len(WORDS), HIDDEN)
        self.classifier = torch.nn.Linear(HIDDEN, config.num_labels)
        self.seen: list[tuple[int, ...]] = []
        self.modes: list[tuple[bool, bool]] = []
        self.post_init()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SequenceClassifierOutput:
        self.seen.append(tuple(input_ids.shape))
        self.modes.append((self.training, torch.is_inference_mode_enabled()))
        vectors = attention_mask[..., None] * self.embeddings(input_ids)
        return SequenceClassifierOutput(logits=self.classifier(vectors.sum(1)))


def linear() -> LinearClassifier:
    settings: dict[str, Any] = {"num_labels": CLASSES}
    return LinearClassifier(LinearConfig(**settings))


def test_parameters_are_counted() -> None:
    figures = profile_model(linear(), make_tokenizer(), TEXTS, repeats=1)
    assert figures["parameters"] == len(WORDS) * HIDDEN + HIDDEN * CLASSES + CLASSES


def test_bytes_are_those_of_the_saved_files(tmp_path: Path) -> None:
    model, tokenizer = bert(), make_tokenizer()
    model.save_pretrained(tmp_path)
    weights = (tmp_path / "model.safetensors").stat().st_size
    tokenizer.save_pretrained(tmp_path)
    figures = profile_model(model, tokenizer, TEXTS, repeats=1)
    assert figures["bytes"] == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert 4 * figures["parameters"] < figures["weight_bytes"] == weights < figures["bytes"]


def test_bytes_do_not_depend_on_what_the_tokenizer_did_before() -> None:
    model, tokenizer = bert(), make_tokenizer()
    fresh = profile_model(model, tokenizer, TEXTS, repeats=1)["bytes"]
    tokenizer(TEXTS, padding=True, truncation=True, max_length=7)  # tokenizer.json would name both
    assert profile_model(model, tokenizer, TEXTS, repeats=1)["bytes"] == fresh


def test_half_precision_halves_the_weights() -> None:
    full, half = (profile_model(m, make_tokenizer(), TEXTS, repeats=1) for m in (bert(), bert().bfloat16()))
    assert full["weight_bytes"] - half["weight_bytes"] == pytest.approx(2 * full["parameters"], rel=0.05)
    assert full["parameters"] == half["parameters"]


def test_the_flops_of_a_linear_layer() -> None:
    assert profile_model(linear(), make_tokenizer(), TEXTS, repeats=1)["flops"] == 2 * HIDDEN * CLASSES


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_flops_of_bert_on_the_text_of_median_length(attention: str) -> None:
    tokens = 4 + 2  # "bb bb bb bb" is the median, with [CLS] and [SEP]
    projections = 4 * 2 * tokens * HIDDEN**2  # queries, keys, values, output
    scores_and_mixing = 2 * 2 * tokens**2 * HIDDEN
    feed_forward = 2 * 2 * tokens * HIDDEN * FFN
    head = 2 * HIDDEN**2 + 2 * HIDDEN * CLASSES  # pooler and classifier, on one token
    expected = LAYERS * (projections + scores_and_mixing + feed_forward) + head
    assert profile_model(bert(attention), make_tokenizer(), TEXTS, repeats=1)["flops"] == expected


def test_the_median_counts_tokens_up_to_max_length() -> None:
    model = linear()
    profile_model(model, make_tokenizer(), ["a a a", "ccc", "bb bb bb bb bb bb"], batch_sizes=(1,), repeats=1)
    assert model.seen[0] == (1, 5)  # of 5, 3 and 8 tokens; in characters the median is the first as well
    model = linear()
    profile_model(model, make_tokenizer(), ["ccc ccc", "a a a", "a"], repeats=1)
    assert model.seen[0] == (1, 4)  # by characters it would be "a a a", 5 tokens
    model = linear()
    profile_model(model, make_tokenizer(), TEXTS, repeats=1, max_length=4)
    assert max(length for _, length in model.seen) == 4


def test_each_batch_size_runs_its_repeats_after_two_of_warm_up() -> None:
    model = linear()
    profile_model(model, make_tokenizer(), TEXTS, batch_sizes=(1, 2, 7), repeats=4)
    sizes = [size for size, _ in model.seen]
    assert sizes == [1] + 6 * [1] + 6 * [2] + 6 * [7]
    lengths = [length for size, length in model.seen[1:] if size == 1]
    assert lengths[2:] == [3, 8, 4, 10]  # the texts in turn


class Clock:
    """Time that passes only in `run`."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(profile, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


def test_latency_and_throughput_are_those_of_the_clock_without_warm_up(clock: Clock) -> None:
    model = linear()
    #        FLOPs  warm-up     batches of one text: ms           warm-up     batches of ten
    times = [5e4, 3000, 2000, 11, 15, 12, 14, 13, 16, 20, 3000, 2000, 90, 110, 100, 130, 120, 150, 140]
    model.register_forward_pre_hook(lambda *_: setattr(clock, "now", clock.now + times.pop(0) / 1000))
    figures = profile_model(model, make_tokenizer(), TEXTS, batch_sizes=(1, 10), repeats=7)
    assert times == []
    # The 95th percentile of seven numbers lies 0.7 of the way from the sixth to the seventh.
    assert figures["latency_ms"]["1"] == pytest.approx({"median": 14, "p95": 16 + 0.7 * 4})
    assert figures["latency_ms"]["10"] == pytest.approx({"median": 120, "p95": 140 + 0.7 * 10})
    assert figures["throughput"] == pytest.approx(10 / 0.120)


def test_latency_includes_tokenisation(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = PreTrainedTokenizerFast.__call__

    def slow(self: Any, *args: Any, **kwargs: Any) -> Any:
        clock.now += 0.007
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(PreTrainedTokenizerFast, "__call__", slow)
    figures = profile_model(linear(), make_tokenizer(), TEXTS, repeats=3)
    for times in figures["latency_ms"].values():
        assert times == pytest.approx({"median": 7, "p95": 7})


def test_real_times_are_positive_and_ordered() -> None:
    figures = profile_model(bert(), make_tokenizer(), TEXTS, repeats=5)
    assert list(figures["latency_ms"]) == ["1", "32"]
    for times in figures["latency_ms"].values():
        assert 0 < times["median"] <= times["p95"]
    assert figures["throughput"] == pytest.approx(32_000 / figures["latency_ms"]["32"]["median"])


@pytest.mark.parametrize("training", [True, False])
def test_the_model_runs_in_evaluation_mode_and_keeps_its_own(training: bool) -> None:
    model = linear().train(training)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    profile_model(model, make_tokenizer(), TEXTS, repeats=1)
    assert set(model.modes) == {(False, True)}
    assert model.training is training
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_peak_memory_outlives_the_memory() -> None:
    ballast = np.ones(60_000_000, np.uint8)
    held = psutil.Process().memory_info().rss / 1e6
    del ballast
    peak = profile_model(linear(), make_tokenizer(), TEXTS, repeats=1)["peak_memory_mb"]
    if sys.platform == "win32":
        most = psutil.Process().memory_info().peak_wset / 1e6
    else:
        import resource  # absent on Windows

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    assert 0.99 * held <= peak <= 1.01 * most


def rusage(kilobytes: int) -> SimpleNamespace:
    """A module ``resource`` that says so, on systems without one too."""
    return SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: SimpleNamespace(ru_maxrss=kilobytes))


def test_peak_memory_is_not_that_of_the_process_which_started_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux a process begins with the peak of its parent in ``getrusage``, and with its own in ``/proc``."""
    status = tmp_path / "status"
    status.write_text("VmPeak:\t  900000 kB\nVmHWM:\t  300000 kB\n")
    monkeypatch.setattr(profile, "Path", lambda name: {"/proc/self/status": status}[name])
    monkeypatch.setitem(sys.modules, "resource", rusage(10**9))
    assert profile.peak_memory(torch.device("cpu")) == 307.2


@pytest.mark.parametrize(("platform", "megabytes"), [("darwin", 300.0), ("freebsd", 307_200.0)])
def test_peak_memory_knows_the_units_of_other_systems(
    platform: str, megabytes: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resource", rusage(300_000_000))
    monkeypatch.setattr(profile, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(profile, "Path", lambda name: tmp_path / "absent")
    assert profile.peak_memory(torch.device("cpu")) == megabytes


@pytest.mark.parametrize(
    ("texts", "changes"),
    [([], {}), (TEXTS, {"batch_sizes": ()}), (TEXTS, {"batch_sizes": (0, 8)}), (TEXTS, {"repeats": 0})],
)
def test_nothing_to_time_is_refused(texts: list[str], changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="nothing to time"):
        profile_model(linear(), make_tokenizer(), texts, **changes)
