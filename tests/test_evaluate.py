"""Figures against hand counts, closed forms, plain loops, simulations; logits against one text at a time."""

import json
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    set_seed,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from kdlib.errors import InputError
from kdlib.evaluate import (
    PairedDifference,
    agreement,
    describe_difference,
    evaluate,
    expected_calibration_error,
    mcnemar,
    mean_and_sd,
    paired_bootstrap,
    predict_logits,
    retention,
    smallest_detectable_difference,
)

WORDS = "[PAD] [CLS] [SEP] [UNK] good bad very not the film was long short".split()
TEXTS = [
    "the film was good",
    "bad",
    "",
    "not good not bad very very long",
    "good film",
    "the film was very long",
]
CLASSES = 3
SETTINGS: dict[str, Any] = {
    "vocab_size": len(WORDS), "max_position_embeddings": 16, "num_labels": CLASSES, "initializer_range": 0.5
}  # fmt: skip


def make_tokenizer(token_type: int = 0) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    template = f"[CLS]:{token_type} $A:{token_type} [SEP]:{token_type}"
    backend.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=inputs, **special)


class MeanConfig(PreTrainedConfig):
    model_type = "test-mean"


class MeanClassifier(PreTrainedModel):
    """The mean of the tokens' embeddings and a linear layer: no more than input_ids and attention_mask."""

    config_class = MeanConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = torch.nn.Embedding(len(WORDS), 8)
        self.classifier = torch.nn.Linear(8, config.num_labels)
        self.post_init()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SequenceClassifierOutput:
        weights = attention_mask[..., None] / attention_mask.sum(-1)[:, None, None]
        return SequenceClassifierOutput(logits=self.classifier((weights * self.embeddings(input_ids)).sum(1)))


def bert() -> PreTrainedModel:
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return BertForSequenceClassification(BertConfig(**SETTINGS, **sizes))


def distilbert() -> PreTrainedModel:
    sizes: dict[str, Any] = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    return DistilBertForSequenceClassification(DistilBertConfig(**SETTINGS, **sizes))


def mean_classifier() -> PreTrainedModel:
    return MeanClassifier(MeanConfig(**SETTINGS))


def make_model(kind: Callable[[], PreTrainedModel] = bert) -> PreTrainedModel:
    set_seed(0)
    return kind().eval()


def one_by_one(model: PreTrainedModel, texts: list[str], max_length: int = 128) -> np.ndarray:
    """Logits without tokenizer, batches and padding: ids by hand."""
    rows = []
    for text in texts:
        ids = torch.tensor([[1, *[WORDS.index(word) for word in text.split()][: max_length - 2], 2]])
        with torch.no_grad():
            rows.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].numpy())
    return np.stack(rows)


class Spy:
    """Keeps what the model was called with."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.calls: list[dict[str, Any]] = []
        self.modes: list[tuple[bool, bool]] = []
        model.register_forward_pre_hook(self.look, with_kwargs=True)

    def look(self, module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        self.calls.append(kwargs)
        self.modes.append((module.training, torch.is_inference_mode_enabled()))


# --- predict_logits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "side"),  # absolute positions count from the left, so that BERT pads on the right
    [(bert, "right"), (distilbert, "right"), (mean_classifier, "right"), (mean_classifier, "left")],
)
@pytest.mark.parametrize("batch_size", [1, 2, 4, 64])
def test_logits_are_those_of_each_text_alone_in_the_order_of_the_texts(
    kind: Callable[[], PreTrainedModel], side: str, batch_size: int
) -> None:
    model, tokenizer = make_model(kind), make_tokenizer()
    tokenizer.padding_side = side
    expected = one_by_one(model, TEXTS)
    assert np.ptp(expected, axis=0).min() > 1e-2  # the texts differ, so that a wrong order would show
    logits = predict_logits(model, tokenizer, TEXTS, batch_size)
    assert logits.dtype == np.float32 and logits.shape == (len(TEXTS), CLASSES)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_a_permutation_of_the_texts_permutes_the_logits() -> None:
    model, tokenizer, order = make_model(), make_tokenizer(), [3, 5, 0, 2, 1, 4]
    shuffled = predict_logits(model, tokenizer, [TEXTS[i] for i in order], batch_size=2)
    np.testing.assert_allclose(shuffled, predict_logits(model, tokenizer, TEXTS)[order], atol=1e-5)


def test_long_texts_are_cut() -> None:
    model = make_model()
    texts = ["very long " * 20, "bad"]  # more tokens than the model has positions
    np.testing.assert_allclose(
        predict_logits(model, make_tokenizer(), texts, max_length=6), one_by_one(model, texts, 6), atol=1e-5
    )


def test_batches_hold_texts_of_similar_length() -> None:
    model = make_model()
    spy = Spy(model)
    texts = ["very " * length for length in (6, 1, 5, 2, 6, 1, 5, 2)]
    predict_logits(model, make_tokenizer(), texts, batch_size=2)
    assert [tuple(call["input_ids"].shape) for call in spy.calls] == [(2, 3), (2, 4), (2, 7), (2, 8)]
    assert all(call["attention_mask"].all() for call in spy.calls)


@pytest.mark.parametrize("training", [True, False])
def test_there_is_no_dropout_and_no_gradient_and_the_mode_is_restored(training: bool) -> None:
    model = make_model()
    expected = one_by_one(model, TEXTS)
    model.train(training)
    spy = Spy(model)
    np.testing.assert_allclose(predict_logits(model, make_tokenizer(), TEXTS), expected, atol=1e-5)
    assert spy.modes == [(False, True)]
    assert all(module.training is training for module in model.modules())


def test_the_mode_is_restored_after_an_error() -> None:
    model = make_model().train()
    with pytest.raises((IndexError, RuntimeError)):
        predict_logits(model, make_tokenizer(), ["very " * 50])  # beyond the 16 positions
    assert model.training


def test_token_types_reach_a_model_that_has_them() -> None:
    model = make_model()
    ids = torch.tensor([[1, WORDS.index("good"), 2]])
    with torch.no_grad():
        expected = model(input_ids=ids, token_type_ids=torch.ones_like(ids)).logits.numpy()
    np.testing.assert_allclose(predict_logits(model, make_tokenizer(1), ["good"]), expected, atol=1e-5)
    assert abs(expected - predict_logits(model, make_tokenizer(0), ["good"])).max() > 1e-2


def test_a_model_whose_forward_names_nothing_gets_ids_and_mask() -> None:
    model = make_model()
    expected, forward = one_by_one(model, TEXTS), model.forward
    model.forward = lambda *args, **kwargs: forward(*args, **kwargs)  # as wrappers of models do
    np.testing.assert_allclose(predict_logits(model, make_tokenizer(), TEXTS), expected, atol=1e-5)


def test_half_precision_comes_back_as_float32() -> None:
    model: Any = make_model()
    model.to(torch.bfloat16)
    logits = predict_logits(model, make_tokenizer(), TEXTS)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, one_by_one(model.float(), TEXTS), atol=0.1)


def test_no_texts_give_no_rows() -> None:
    assert predict_logits(make_model(), make_tokenizer(), []).shape == (0, CLASSES)


@pytest.mark.parametrize(("texts", "says"), [("good", "single string"), (["good", None], r"Text 1 is None")])
def test_what_is_no_list_of_strings_is_refused(texts: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        predict_logits(make_model(), make_tokenizer(), texts)


# --- evaluate ---------------------------------------------------------------------------------------------

NAMES = ["negative", "neutral", "positive"]


def random_case(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(CLASSES, size=n)
    return labels, generator.normal(size=(n, CLASSES)) + 1.5 * np.eye(CLASSES)[labels]


def test_the_figures_are_those_counted_by_hand() -> None:
    labels, logits = random_case()
    result = evaluate(labels, logits, NAMES)
    choices = [max(range(CLASSES), key=row.__getitem__) for row in logits.tolist()]
    pairs = list(zip(labels.tolist(), choices, strict=True))
    assert result.n == 300
    assert result.accuracy == sum(a == b for a, b in pairs) / 300
    assert result.confusion == [[pairs.count((a, b)) for b in range(CLASSES)] for a in range(CLASSES)]
    scores = []
    for k, name in enumerate(NAMES):
        right, chosen, true = pairs.count((k, k)), choices.count(k), labels.tolist().count(k)
        scores.append(2 * right / (chosen + true))
        expected = {"precision": right / chosen, "recall": right / true, "f1": scores[-1], "support": true}
        assert result.per_class[name] == pytest.approx(expected)
    assert result.macro_f1 == pytest.approx(sum(scores) / CLASSES)


def test_the_interval_is_wilson_s() -> None:
    labels = np.array([0] * 7 + [1] * 13)
    result = evaluate(labels, np.tile([0.0, 1.0], (20, 1)), ["a", "b"])
    p, n, z = 13 / 20, 20, statistics.NormalDist().inv_cdf(0.975)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert result.accuracy_interval == pytest.approx((centre - half, centre + half))


def test_calibration_is_that_of_the_softmax() -> None:
    labels, logits = random_case()
    exps = np.exp(logits)
    expected = expected_calibration_error(exps / exps.sum(-1, keepdims=True), labels)
    assert evaluate(labels, logits, NAMES).expected_calibration_error == pytest.approx(expected)


def test_a_class_that_never_occurs_counts_as_0_in_macro_f1() -> None:
    labels = np.array([0, 1, 1, 0])
    result = evaluate(labels, np.eye(3)[labels], NAMES)
    assert result.per_class["positive"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert result.macro_f1 == pytest.approx(2 / 3)


def test_only_the_differences_of_logits_matter() -> None:
    labels, logits = random_case()
    shifted = evaluate(labels, logits + np.arange(300)[:, None], NAMES).to_dict()
    for key, value in evaluate(labels, logits, NAMES).to_dict().items():
        assert shifted[key] == pytest.approx(value) if isinstance(value, float) else shifted[key] == value


def test_a_result_survives_json() -> None:
    labels, logits = random_case()
    result = evaluate(labels.tolist(), logits.tolist(), NAMES)
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(plain(part) for part in value.values())
        return all(map(plain, value)) if type(value) is list else type(value) in (int, float)

    assert plain(result.to_dict())


def test_logarithms_of_probabilities_may_be_minus_infinity() -> None:
    result = evaluate([0, 1], np.array([[0.0, -np.inf], [0.0, -np.inf]]), ["a", "b"])
    assert (result.accuracy, result.expected_calibration_error) == (0.5, 0.5)


GOOD = np.eye(3)


@pytest.mark.parametrize(
    ("labels", "logits", "says"),
    [
        ([0, 1], GOOD, r"Shapes \(2,\), \(3, 3\)"),
        ([0, 1, 2], GOOD[:, :2], r"\[n, 3\]"),
        ([[0, 1, 2]], GOOD, r"\(1, 3\)"),
        ([], np.zeros((0, 3)), r"\(0,\)"),
        ([0, -1, 2], GOOD, r"Label -1 \(row 1\).*drop"),
        ([0, 1, 3], GOOD, r"Label 3 \(row 2\) is none of 0 to 2"),
        ([0, 1, None], GOOD, r"Label None \(row 2\)"),
        ([0, 0.5, 1], GOOD, r"Label 0.5 \(row 1\)"),
        ([0, 1, 2], np.array([[0, 1, 0], [0, np.nan, 9], [0, 0, 1]]), "Row 1 of the logits"),
        ([0, 1, 2], np.array([[0, 1, 0], [0, 0, 9], [0, np.inf, 1]]), "Row 2 of the logits"),
    ],
)
def test_bad_input_is_refused(labels: Any, logits: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        evaluate(labels, logits, NAMES)


# --- agreement, retention, calibration --------------------------------------------------------------------


def test_agreement_counts_equal_choices() -> None:
    a = np.array([[2.0, 1.0], [0.0, 1.0], [0.0, 5.0], [1.0, 0.0]])
    b = np.array([[0.1, 0.0], [1.0, 0.0], [0.0, 0.2], [9.0, 0.0]])
    assert agreement(a, b) == agreement(b, a) == 0.75
    assert agreement(a, 7 * a + 3) == 1 and agreement(a, -a) == 0
    for other in (b[:1], b[:3], b[:, :1], b[0]):
        with pytest.raises(InputError):
            agreement(a, other)


def test_retention_is_a_ratio() -> None:
    assert retention(0.81, 0.9) == pytest.approx(0.9)
    with pytest.raises(InputError, match="0"):
        retention(0.5, 0.0)


def loop_error(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Guo et al. (2017), equation 3, bin by bin and text by text."""
    total = 0.0
    for b in range(bins):
        inside = [i for i, row in enumerate(probabilities) if b / bins < max(row) <= (b + 1) / bins]
        if inside:
            accuracy = sum(int(np.argmax(probabilities[i]) == labels[i]) for i in inside) / len(inside)
            confidence = sum(max(probabilities[i]) for i in inside) / len(inside)
            total += len(inside) / len(labels) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_calibration_error_is_that_of_a_loop(bins: int) -> None:
    labels, logits = random_case()
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    error = expected_calibration_error(probabilities, labels, bins)
    assert error == pytest.approx(loop_error(probabilities, labels, bins))
    assert 0.01 < error < 0.5


def test_calibration_error_of_simple_cases() -> None:
    sure = np.tile([1.0, 0.0], (10, 1))
    assert expected_calibration_error(sure, np.array([0] * 6 + [1] * 4)) == pytest.approx(0.4)
    four_of_five = np.tile([0.8, 0.2], (10, 1))
    assert expected_calibration_error(four_of_five, np.array([0] * 8 + [1] * 2)) == pytest.approx(0)


def test_a_bin_holds_its_upper_edge() -> None:
    # 0.5 belongs to (0, 0.5], alone: |1 − 0.5| / 2 + |0 − 0.75| / 2. Together they would give |0.5 − 0.625|.
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25]])
    assert expected_calibration_error(probabilities, np.array([0, 1]), bins=2) == pytest.approx(0.625)


@pytest.mark.parametrize("probabilities", [GOOD[:2], 3 * GOOD, GOOD[0], np.zeros((0, 3))])
def test_what_are_no_probabilities_is_refused(probabilities: np.ndarray) -> None:
    with pytest.raises(InputError):
        expected_calibration_error(probabilities, np.zeros(3 if len(probabilities) else 0, int))


# --- paired comparisons -----------------------------------------------------------------------------------


def paired_rows(n: int, generator: np.random.Generator, p_a: float = 0.85, p_b: float = 0.8) -> np.ndarray:
    """[2, n]: two models, right more often on the same (easy) texts; accuracies p_a and p_b."""
    return seeded_rows(n, generator, np.array([p_a]), np.array([p_b]))[:, 0]


def seeded_rows(n: int, generator: np.random.Generator, p_a: np.ndarray, p_b: np.ndarray) -> np.ndarray:
    """[2, seeds, n]: the same of several training runs, whose accuracies are p_a and p_b [seeds]."""
    ease, own = generator.random(n), generator.random((2, len(p_a), n))
    luck = np.where(generator.random(own.shape) < 0.7, ease, own)
    return (luck < np.stack([p_a, p_b])[..., None]).astype(int)


def test_the_bootstrap_is_that_of_a_loop_over_rows() -> None:
    a, b = paired_rows(150, np.random.default_rng(1))
    result, generator = paired_bootstrap(a, b, resamples=20_000), np.random.default_rng(9)
    samples = []
    for _ in range(20_000):
        rows = generator.integers(150, size=150)
        samples.append(a[rows].mean() - b[rows].mean())
    assert result.difference == pytest.approx(a.mean() - b.mean())
    assert (result.low, result.high) == pytest.approx(np.quantile(samples, [0.025, 0.975]), abs=0.007)
    assert result.low < result.difference < result.high


def test_the_bootstrap_over_seeds_is_that_of_a_loop_over_seeds_and_rows() -> None:
    generator = np.random.default_rng(2)
    skill = np.array([0.95, 0.8, 0.7, 0.85])
    a, b = (
        np.stack([paired_rows(120, generator, p, p)[0] for p in values]) for values in (skill, skill[::-1])
    )
    result = paired_bootstrap(a, b, resamples=10_000)
    samples = []
    for _ in range(10_000):
        seeds, rows = generator.integers(4, size=4), generator.integers(120, size=120)
        samples.append(float((a - b)[np.ix_(seeds, rows)].mean()))
    assert (result.low, result.high) == pytest.approx(np.quantile(samples, [0.025, 0.975]), abs=0.01)
    rows_only = paired_bootstrap(np.ones(120), 1 - a[0], resamples=10_000)
    assert result.high - result.low > 1.5 * (rows_only.high - rows_only.low)  # seeds that differ widen it


def test_the_95_percent_interval_covers_the_truth_about_95_times_in_100() -> None:
    generator, hits = np.random.default_rng(3), 0
    for _ in range(200):
        a, b = paired_rows(300, generator)
        result = paired_bootstrap(a, b, resamples=500)
        hits += result.low <= 0.05 <= result.high
    assert 0.90 <= hits / 200 <= 0.985


def test_with_seeds_the_interval_covers_where_that_of_one_seed_does_not() -> None:
    generator, hits, hits_of_one = np.random.default_rng(3), 0, 0
    for _ in range(200):
        p_a, p_b = generator.normal([[0.85], [0.8]], 0.04, size=(2, 8))  # training runs differ
        a, b = seeded_rows(400, generator, p_a, p_b)
        result, of_one = paired_bootstrap(a, b, 300), paired_bootstrap(a[0], b[0], 300)
        hits += result.low <= 0.05 <= result.high
        hits_of_one += of_one.low <= 0.05 <= of_one.high
    assert 0.87 <= hits / 200 <= 0.985
    assert hits_of_one / 200 < 0.75


def test_the_bootstrap_is_deterministic_and_the_order_of_the_texts_is_nothing_to_it() -> None:
    a, b = paired_rows(200, np.random.default_rng(4))
    order = np.random.default_rng(5).permutation(200)
    assert paired_bootstrap(a, b) == paired_bootstrap(a, b) == paired_bootstrap(a[order], b[order])
    assert paired_bootstrap(a, b) == paired_bootstrap(a[None] > 0, b[None] > 0)
    assert paired_bootstrap(a, b, seed=1) != paired_bootstrap(a, b, seed=2)


def test_pairing_narrows_the_interval() -> None:
    generator = np.random.default_rng(6)
    a, b = paired_rows(4000, generator)
    paired, unpaired = paired_bootstrap(a, b), paired_bootstrap(a, generator.permutation(b))
    assert paired.difference == pytest.approx(unpaired.difference)
    assert paired.high - paired.low < 0.8 * (unpaired.high - unpaired.low)


def test_equal_models_do_not_differ() -> None:
    a = paired_rows(50, np.random.default_rng(7))[0]
    assert paired_bootstrap(a, a) == PairedDifference(0.0, 0.0, 0.0)
    assert mcnemar(a, a) == 1 and smallest_detectable_difference(a, a) == 0


@pytest.mark.parametrize(("only_a", "only_b"), [(1, 0), (9, 2), (2, 9), (5, 5), (30, 14), (0, 6)])
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    a = np.array([1] * only_a + [0] * only_b + [1, 1, 0])
    b = np.array([0] * only_a + [1] * only_b + [1, 1, 0])
    n, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    assert mcnemar(a, b) == pytest.approx(min(1, 2 * tail))


def test_the_smallest_detectable_difference_is_its_formula() -> None:
    a, b = paired_rows(400, np.random.default_rng(8))
    normal = statistics.NormalDist()
    for power, level, z in [
        (0.8, 0.05, 1.95996 + 0.84162),
        (0.9, 0.01, normal.inv_cdf(0.995) + normal.inv_cdf(0.9)),
    ]:
        error = math.sqrt(statistics.variance((a - b).tolist()) / 400)
        assert smallest_detectable_difference(a, b, power, level) == pytest.approx(z * error, rel=1e-4)
    other = paired_rows(400, np.random.default_rng(9))
    over_seeds = smallest_detectable_difference(np.stack([a, other[0]]), np.stack([b, other[1]]))
    means = ((a - b) + (other[0] - other[1])) / 2
    assert over_seeds == pytest.approx(
        2.80158 * math.sqrt(statistics.variance(means.tolist()) / 400), rel=1e-4
    )


def test_a_true_difference_of_that_size_is_found_about_four_times_in_five() -> None:
    generator = np.random.default_rng(10)
    size = smallest_detectable_difference(*paired_rows(1500, generator))
    assert 0.01 < size < 0.05
    found = 0
    for _ in range(300):
        a, b = paired_rows(1500, generator, 0.8 + size)
        gaps = a - b
        found += abs(gaps.mean()) > 1.96 * gaps.std(ddof=1) / math.sqrt(1500)
    assert 0.7 < found / 300 < 0.9


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1, 0, 1], [1, 0]),
        ([], []),
        ([[1, 0]], [1, 0]),
        ([[[1]]], [[[1]]]),
        ([1, 2], [0, 1]),
        ([1, math.nan], [0, 1]),
    ],
)
def test_rows_that_cannot_be_paired_are_refused(a: list[Any], b: list[Any]) -> None:
    for function in (paired_bootstrap, mcnemar, smallest_detectable_difference):
        with pytest.raises(InputError):
            function(a, b)


def test_mcnemar_refuses_seeds_and_one_text_has_no_variance() -> None:
    with pytest.raises(InputError, match="one seed"):
        mcnemar(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(InputError, match="at least two"):
        smallest_detectable_difference(np.ones((2, 1)), np.ones((2, 1)))


# --- summaries --------------------------------------------------------------------------------------------


def test_mean_and_sd_are_those_of_the_sample() -> None:
    values = [0.81, 0.83, 0.86]
    assert mean_and_sd(values) == pytest.approx((statistics.mean(values), statistics.stdev(values)))
    assert mean_and_sd([0.5]) == (0.5, 0.0)
    with pytest.raises(InputError):
        mean_and_sd([])


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        (
            PairedDifference(0.0321, 0.0104, 0.0549),
            "On the same texts, mBERT is 3.2 points better than E5 (95 % interval +1.0 to +5.5).",
        ),
        (
            PairedDifference(-0.02, -0.035, -0.005),
            "On the same texts, mBERT is 2.0 points worse than E5 (95 % interval -3.5 to -0.5).",
        ),
        (
            PairedDifference(0.004, -0.01, 0.02),
            "The difference between mBERT and E5, +0.4 points (95 % interval -1.0 to +2.0), "
            "is inside the noise.",
        ),
    ],
)
def test_a_difference_reads_as_one_sentence(difference: PairedDifference, sentence: str) -> None:
    assert describe_difference(difference, "mBERT", "E5") == sentence


def test_an_interval_that_touches_zero_is_inside_the_noise() -> None:
    assert "inside the noise" in describe_difference(PairedDifference(0.01, 0.0, 0.02), "a", "b")
