"""The figures of a report against counts by hand, on made-up logits and tiny students."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict
from made_up import ACCURACY, language_figures
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, set_seed

import kdlib
from kdlib import measure
from kdlib.evaluate import evaluate, mcnemar, paired_bootstrap, smallest_detectable_difference
from kdlib.experiment import KINDS, Outcome, Settings
from kdlib.measure import (
    cost,
    difference,
    environment,
    measure_language,
    measure_model,
    measure_phenomena,
    reliability,
    result_table,
    summary_sentences,
)
from kdlib.plots import NAMES

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "good", "bad", "very", "not", "the", "film", "was"]
CLASSES = ["negative", "positive"]


def make_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def make_model(layers: int) -> BertForSequenceClassification:
    set_seed(layers)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, num_labels=2,
    )  # fmt: skip
    return BertForSequenceClassification(config).eval()


def noisy_logits(labels: np.ndarray, accuracy: float, seed: int) -> np.ndarray:
    """Logits [n, 2] that are right on about ``accuracy`` of the labels."""
    generator = np.random.default_rng(seed)
    choices = np.where(generator.random(len(labels)) < accuracy, labels, 1 - labels)
    return generator.uniform(0.1, 3, size=(len(labels), 1)) * np.eye(2)[choices]


def right(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return logits.argmax(-1) == labels


# --- one model --------------------------------------------------------------------------------------------

LABELS = np.random.default_rng(0).integers(2, size=120)
RUNS = [noisy_logits(LABELS, accuracy, seed) for seed, accuracy in enumerate((0.7, 0.8, 0.9))]


def test_one_seed_has_the_figures_of_evaluate_and_no_spread() -> None:
    figures = measure_model(LABELS, RUNS[:1], CLASSES)
    expected = evaluate(LABELS, RUNS[0], CLASSES).to_dict()
    assert {name: figures[name] for name in expected} == expected
    assert figures["seeds"] == {"accuracy": [expected["accuracy"]], "sd": 0.0}


def test_several_seeds_have_their_mean_and_sd() -> None:
    figures, each = measure_model(LABELS, RUNS, CLASSES), [evaluate(LABELS, run, CLASSES) for run in RUNS]
    accuracies = [float(right(LABELS, run).mean()) for run in RUNS]
    assert len(set(accuracies)) == 3
    assert figures["seeds"]["accuracy"] == pytest.approx(accuracies)
    assert figures["accuracy"] == pytest.approx(statistics.mean(accuracies))
    assert figures["seeds"]["sd"] == pytest.approx(statistics.stdev(accuracies))
    for name in ("macro_f1", "expected_calibration_error"):
        assert figures[name] == pytest.approx(statistics.mean(getattr(result, name) for result in each))
    assert figures["confusion"] == each[0].confusion  # of the first seed, as is said
    low, high = figures["accuracy_interval"]
    first_low, first_high = each[0].accuracy_interval
    assert high - low == pytest.approx(first_high - first_low) and low < figures["accuracy"] < high


def test_an_interval_stays_within_0_and_1() -> None:
    labels = np.array([0, 1] * 10)
    perfect = 5 * np.eye(2)[labels]
    almost = perfect.copy()
    almost[:4] = almost[:4, ::-1]
    for runs in ([almost, perfect, perfect], [-almost, -perfect, -perfect]):
        low, high = measure_model(labels, runs, CLASSES)["accuracy_interval"]
        assert 0 <= low <= high <= 1


def test_reliability_bins_by_hand() -> None:
    probabilities = np.array([[0.55, 0.45], [0.42, 0.58], [0.9, 0.1], [0.05, 0.95], [1.0, 0.0]])
    bins = reliability(probabilities, np.array([0, 0, 0, 1, 1]))
    assert [b["n"] for b in bins] == [2, 1, 2]  # (0.5, 0.6], (0.8, 0.9] and (0.9, 1]
    assert [b["confidence"] for b in bins] == pytest.approx([(0.55 + 0.58) / 2, 0.9, (0.95 + 1) / 2])
    assert [b["accuracy"] for b in bins] == pytest.approx([1 / 2, 1, 1 / 2])


def test_reliability_bins_hold_every_text_once() -> None:
    generator = np.random.default_rng(1)
    probabilities, labels = generator.dirichlet(np.ones(4), size=500), generator.integers(4, size=500)
    bins = reliability(probabilities, labels)
    assert sum(b["n"] for b in bins) == 500
    assert sum(b["n"] * b["confidence"] for b in bins) == pytest.approx(probabilities.max(-1).sum())
    assert sum(b["n"] * b["accuracy"] for b in bins) == pytest.approx((probabilities.argmax(-1) == labels).sum())
    assert [b["confidence"] for b in bins] == sorted(b["confidence"] for b in bins)


# --- differences ------------------------------------------------------------------------------------------


def test_a_difference_of_single_runs_is_the_paired_one() -> None:
    a, b = right(LABELS, RUNS[2])[None], right(LABELS, RUNS[0])[None]
    result = difference(a, b)
    assert {name: result.pop(name) for name in ("difference", "low", "high")} == paired_bootstrap(a, b)._asdict()
    assert result == {"mcnemar_p": mcnemar(a[0], b[0]), "smallest_detectable": smallest_detectable_difference(a, b)}


@pytest.mark.parametrize("turned", [False, True])
def test_a_model_with_one_run_is_compared_with_every_run_of_the_other(turned: bool) -> None:
    many, one = np.stack([right(LABELS, run) for run in RUNS]), right(LABELS, noisy_logits(LABELS, 0.95, 9))[None]
    pair = (one, many) if turned else (many, one)
    result, repeated = difference(*pair), np.repeat(one, 3, axis=0)
    expected = paired_bootstrap(repeated, many) if turned else paired_bootstrap(many, repeated)
    assert {name: result[name] for name in ("difference", "low", "high")} == expected._asdict()
    assert result["difference"] == pytest.approx(pair[0].mean() - pair[1].mean())
    assert result["mcnemar_p"] == mcnemar(pair[0][0], pair[1][0])


# --- phenomena --------------------------------------------------------------------------------------------


def logits_of(probabilities: list[float]) -> np.ndarray:
    """Logits [n, 2] with these P(positive)."""
    return np.array([[math.log(1 - p), math.log(p)] for p in probabilities])


def test_phenomena_by_hand() -> None:
    diagnostics = Dataset.from_dict({
        "phenomenon": ["irony", "irony", "irony", "long", "irony"],
        "label": [0, 1, 1, 0, 2],  # the last is mixed: neither right nor wrong
        "teacher_logits": logits_of([0.1, 0.9, 0.2, 0.3, 0.9]).tolist(),
    })  # fmt: skip
    seeds = [[0.6, 0.9, 0.9, 0.2, 0.9], [0.7, 0.2, 0.4, 0.3, 0.9]]  # means 0.65, 0.55, 0.65, 0.25
    students = {
        "distilled": [Outcome({"diagnostics": logits_of(seed)}, [], Path()) for seed in seeds],
        "labels_only": [Outcome({"diagnostics": logits_of([0.9, 0.1, 0.1, 0.9, 0.9])}, [], Path())],
    }
    expected = {
        "all": {"n": 4, "teacher": 3 / 4, "student_distilled": 3 / 4, "student_labels_only": 0},
        "irony": {"n": 3, "teacher": 2 / 3, "student_distilled": 2 / 3, "student_labels_only": 0},
        "long": {"n": 1, "teacher": 1, "student_distilled": 1, "student_labels_only": 0},
    }
    found = measure_phenomena(diagnostics, students)
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        assert found[name] == pytest.approx(row)


# --- a language -------------------------------------------------------------------------------------------


def make_split(name: str, labels: list[int], seed: int) -> Dataset:
    generator = np.random.default_rng(seed)
    texts = [" ".join([*generator.choice(WORDS[6:], size=3), WORDS[5 - label] if label >= 0 else "unseen"]) for label in labels]
    columns: dict[str, Any] = {"text": texts, "label": labels, "language": ["en"] * len(labels)}
    if name != "validation":
        columns["teacher_logits"] = noisy_logits(np.maximum(labels, 0), 0.9, seed).tolist()
    return Dataset.from_dict(columns).cast_column("label", ClassLabel(names=CLASSES))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[DatasetDict, Any, dict[str, list[Outcome]], dict[str, Any]]:
    """Data, teacher, two seeds of each student, and the figures made from them."""
    train, test = [0] * 20 + [1] * 30 + [-1] * 10, [0, 1, 0, 1, 1] * 8
    splits = {"train": train, "validation": [0, 1] * 5, "test": test, "transfer": [-1] * 7}
    data = DatasetDict({name: make_split(name, labels, seed) for seed, (name, labels) in enumerate(splits.items())})
    diagnostics = make_split("diagnostics", [0, 1, 1, 0], 5).add_column("phenomenon", ["plain", "irony", "plain", "irony"])
    teacher, students = (make_model(3), make_tokenizer()), {}
    for kind, accuracy in zip(KINDS, (0.6, 0.85, 0.8), strict=True):
        students[kind] = []
        for seed in range(2):
            folder = tmp_path_factory.mktemp(f"{kind}-{seed}")
            make_model(1).save_pretrained(folder)
            make_tokenizer().save_pretrained(folder)
            logits = {"test": noisy_logits(np.array(test), accuracy, 10 * seed), "diagnostics": logits_of([0.2, 0.8, 0.9, 0.6])}
            students[kind].append(Outcome(logits, [], folder))
    data = DatasetDict({**data, "diagnostics": diagnostics})
    return data, teacher, students, measure_language(data, teacher, students, Settings(max_length=16))


def test_a_language_has_every_model_and_survives_json(case: Any) -> None:
    figures = case[-1]
    assert set(NAMES) < figures.keys()
    assert figures["data"] == {"train": 60, "validation": 10, "test": 40, "transfer": 7}
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert all(figures[name]["n"] == 40 for name in NAMES)


def test_accuracies_are_those_of_the_logits(case: Any) -> None:
    data, _, students, figures = case
    labels = np.array(data["test"]["label"])
    assert figures["teacher"]["accuracy"] == pytest.approx(right(labels, np.array(data["test"]["teacher_logits"])).mean())
    for kind in KINDS:
        each = [right(labels, outcome.logits["test"]).mean() for outcome in students[kind]]
        assert figures[f"student_{kind}"]["seeds"]["accuracy"] == pytest.approx(each)
        assert figures[f"student_{kind}"]["accuracy"] == pytest.approx(statistics.mean(each))
    assert figures["majority"]["accuracy"] == pytest.approx((labels == 1).mean())  # 30 of 50 training labels are positive
    assert figures["tfidf_logistic"]["accuracy"] == 1  # the label is a word of the text


def test_comparisons_with_the_teacher_are_ratios_of_these_figures(case: Any) -> None:
    data, _, students, figures = case
    assert figures["retention"] == pytest.approx(figures["student_distilled"]["accuracy"] / figures["teacher"]["accuracy"])
    pairs = zip(data["test"]["teacher_logits"], students["distilled"][0].logits["test"], strict=True)
    assert figures["agreement"] == pytest.approx(statistics.mean(float((a[0] < a[1]) == (b[0] < b[1])) for a, b in pairs))
    sizes = [sum(weight.numel() for weight in make_model(layers).parameters()) for layers in (3, 1)]
    assert figures["compression"] == pytest.approx(sizes[0] / sizes[1])
    assert [figures[name]["parameters"] for name in ("teacher", "student_labels_only")] == sizes
    assert figures["unknown_rate"] == 0


def test_differences_are_from_the_distilled_student_to_every_other_model(case: Any) -> None:
    figures = case[-1]
    assert figures["differences"].keys() == NAMES.keys() - {"student_distilled"}
    for other, gap in figures["differences"].items():
        assert gap["difference"] == pytest.approx(figures["student_distilled"]["accuracy"] - figures[other]["accuracy"])
        assert gap["low"] <= gap["difference"] <= gap["high"]


def test_phenomena_come_only_with_a_diagnostic_split(case: Any) -> None:
    data, teacher, students, figures = case
    assert figures["phenomena"].keys() == {"all", "irony", "plain"}
    assert figures["phenomena"]["irony"]["student_distilled"] == 0.5
    without = DatasetDict({name: part for name, part in data.items() if name != "diagnostics"})
    assert "phenomena" not in measure_language(without, teacher, students, Settings(max_length=16))


def test_cost_names_one_latency_and_keeps_all() -> None:
    figures = cost((make_model(1), make_tokenizer()), ["good film", "bad"], Settings())
    assert {"parameters", "bytes", "flops", "throughput", "peak_memory_mb"} < figures.keys()
    assert figures["latency_ms"] == figures["latency"]["1"]["median"] > 0
    assert set(figures["latency"]) == {"1", "32"}


def test_the_environment_is_known_where_kdlib_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    version = measure.importlib.metadata.version

    def installed(name: str) -> str:
        if name == "kdlib":  # a checkout on the path
            raise measure.importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(measure.importlib.metadata, "version", installed)
    found = environment()
    assert found["versions"]["kdlib"] == kdlib.__version__
    assert found["versions"]["torch"] == version("torch")
    assert all(found["machine"].values()) and json.dumps(found)


# --- tables and sentences ---------------------------------------------------------------------------------


def test_the_result_table_has_a_row_for_every_model_and_language() -> None:
    languages = {"zh": language_figures(seeds=3), "fr": language_figures(seeds=1, seed=1)}
    table = result_table(languages)
    assert list(table.index) == [(code, name) for code in languages for name in NAMES.values()]
    assert table.shape[0] == 2 * len(ACCURACY)
    for code, found in languages.items():
        for name, figures in found.items():
            if name in NAMES:
                row = table.loc[(code, NAMES[name])]
                spread = f" ± {100 * figures['seeds']['sd']:.1f}" if code == "zh" and "student" in name else ""
                assert row["accuracy, %"] == f"{100 * figures['accuracy']:.1f}{spread}"
                assert [float(bound) / 100 for bound in row["95 % interval"].split(" – ")] == pytest.approx(
                    figures["accuracy_interval"], abs=6e-4
                )
                assert float(row["macro-F1"]) == pytest.approx(figures["macro_f1"], abs=6e-4)
                assert float(row["ECE"]) == pytest.approx(figures["expected_calibration_error"], abs=6e-4)
    costs = table.loc["zh"][["parameters, M", "MB on disk", "ms a text"]]
    assert costs.loc[NAMES["teacher"]].tolist() == ["117.5", "41.7", "3.2"]
    assert costs.loc[NAMES["majority"]].tolist() == ["", "", ""]


def test_the_summary_says_the_figures_of_each_language() -> None:
    languages = {"zh": language_figures(), "fr": language_figures(seed=1)}
    figures = languages["fr"]
    figures["differences"]["student_labels_only"] |= {"difference": 0.004, "low": -0.01, "high": 0.02}
    zh, fr = summary_sentences(languages)
    assert zh.startswith("zh: ") and "the distilled student is " in zh and "better than the labels-only student" in zh
    for part in ("12 times smaller", "94.4 % of its accuracy", "agrees with it on 91.2 %", "+0.4 points", "inside the noise"):
        assert part in fr
    accuracies = [100 * figures[name]["accuracy"] for name in ("student_distilled", "teacher")]
    assert f"({accuracies[0]:.1f} of {accuracies[1]:.1f} %)" in fr
