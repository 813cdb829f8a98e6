"""The steps of a report: settings are checked, finished steps are kept, the three kinds of student differ as they should."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, concatenate_datasets
from scipy.special import softmax

from kdlib import data as data_module
from kdlib import experiment, teachers
from kdlib.distill import train_classifier
from kdlib.errors import InputError
from kdlib.evaluate import predict_logits
from kdlib.experiment import (
    KINDS,
    PROFILES,
    Settings,
    label_with_teacher,
    load_datasets,
    load_student,
    prepare_teacher,
    tfidf_baseline,
    train_student,
    train_students,
)

SHORT: dict[str, Any] = {
    "epochs": 3, "labels_only_epochs": 3, "teacher_training": "none", "seeds": [0], "layers": [1, 3], "learning_rate": 5e-3,
    "labels_only_learning_rate": 5e-3, "max_length": 64, "bf16": False,
}  # fmt: skip

# --- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("profile", "huge"), ("teacher_training", "some"), ("seeds", []), ("max_length", 7), ("max_length", 513),
        ("temperature", 0.0), ("temperature", -2), ("alpha", 1.5), ("alpha", -0.1), ("objective", "cosine"),
        ("epochs", "abc"), ("epochs", 0), ("temperature", "hot"), ("seeds", 3), ("seeds", [-1]), ("seeds", [0.5]), ("languages", "zh"),
        ("languages", []), ("layers", "many"), ("layers", [0.5]), ("layers", {"zh": "all"}), ("vocabulary", "tirm"), ("rows", -1),
        ("transfer_size", 0), ("learning_rate", -1e-4), ("learning_rate", float("inf")), ("embedding_size", 0), ("data", 7), ("rows", True),
        ("intermediate_size", 0), ("intermediate_size", {"en": "all"}), ("vocabulary_size", 0), ("bf16", "auto"),
        ("dropout", 1.0), ("dropout", -0.1),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name) as error:
        Settings(**{name: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_fills_in_what_is_not_given(profile: str) -> None:
    filled = Settings(profile=profile)
    assert {name: getattr(filled, name) for name in PROFILES[profile]} == PROFILES[profile]
    given = {
        "seeds": [7, 8], "rows": 33, "transfer_size": 44, "epochs": 1.5, "labels_only_epochs": 2.5, "teacher_training": "lora",
        "layers": 3,
    }  # fmt: skip
    chosen = Settings(profile=profile, **given)
    assert {name: getattr(chosen, name) for name in given} == given
    assert given.keys() >= PROFILES[profile].keys()


def test_the_kits_students_are_for_its_own_teacher_as_long_as_no_layers_are_chosen() -> None:
    kit = Settings()
    assert kit.of("layers", "zh", 2) == [0] and kit.of("layers", "de", 2) == 2
    assert (kit.of("intermediate_size", "en"), kit.of("intermediate_size", "zh"), kit.of("vocabulary_size", "en")) == (256, None, 6500)
    for other in (Settings(teacher="my/teacher"), Settings(layers=3)):
        assert other.of("layers", "en", 2) == (other.layers or 2)
        assert (other.of("intermediate_size", "en"), other.vocabulary_size) == (None, None)
    assert Settings(intermediate_size=512).of("intermediate_size", "zh") == 512


@pytest.mark.parametrize(("units", "has_units"), [("amx_bf16", True), ("avx512_bf16", True), ("avx512_f", False)])
def test_bfloat16_is_used_where_it_is_fast_unless_told_otherwise(units: str, has_units: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": False, units: True})
    assert Settings().bf16 is has_units and Settings(bf16=not has_units).bf16 is not has_units
    assert Settings().arguments("distilled", 0, "en").bf16 is has_units
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)  # another make of processor
    assert Settings().bf16 is False


def test_a_student_gets_the_sizes_of_the_settings(taught: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    settings = Settings(**(SHORT | {"epochs": 1, "intermediate_size": {"en": 12}, "vocabulary_size": 40}))
    model, tokenizer = load_student(train_student("distilled", taught, tiny_teacher, tiny_tokenizer, settings, 0))
    assert (model.config.intermediate_size, model.config.vocab_size, len(tokenizer)) == (12, 40, 40)


def test_only_what_learns_from_labels_alone_trains_with_the_teachers_dropout(
    taught: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[float]] = []

    def look(model: Any, *others: Any) -> list[dict[str, Any]]:
        seen.append({module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)})
        return []

    monkeypatch.setattr(experiment, "train_classifier", look)
    for dropout in (0.0, 0.25):
        for kind in KINDS:
            train_student(kind, taught, tiny_teacher, tiny_tokenizer, Settings(**(SHORT | {"dropout": dropout})), 0)
    assert 0.0 != tiny_teacher.config.hidden_dropout_prob != 0.25
    own = {tiny_teacher.config.hidden_dropout_prob, tiny_teacher.config.attention_probs_dropout_prob}
    assert seen == [own, {0.0}, {0.0}, own, {0.25}, {0.25}]


def test_the_labels_only_rate_may_differ_by_language() -> None:
    kit, told = Settings(), Settings(labels_only_learning_rate={"en": 2e-5})
    assert [kit.arguments("labels_only", 0, language).learning_rate for language in ("en", "fr", "de")] == [1e-4, 3e-4, 3e-4]
    assert [told.arguments("labels_only", 0, language).learning_rate for language in ("en", "fr")] == [2e-5, 3e-4]
    assert told.arguments("distilled", 0, "en").learning_rate == told.learning_rate


def test_another_language_s_settings_leave_a_finished_student_as_it_is(
    taught: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    one = Settings(**(SHORT | {"epochs": 1, "layers": {"en": [1], "fr": [2]}}))
    other = Settings(**(SHORT | {"epochs": 1, "layers": {"en": [1], "fr": [3]}}))
    first, second = (train_student("distilled", taught, tiny_teacher, tiny_tokenizer, settings, 0).folder for settings in (one, other))
    assert first == second


def test_what_is_judged_is_never_computed_in_bfloat16(tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any, isolated_home: Path) -> None:
    """A student may learn from rounded outputs; the test rows and the diagnostic texts keep the teacher's exact ones."""
    exact, rounded = (
        label_with_teacher(tiny_reviews, (tiny_teacher, tiny_tokenizer), Settings(**(SHORT | {"bf16": bf16}))) for bf16 in (False, True)
    )
    assert exact["test"]["teacher_logits"][:] == rounded["test"]["teacher_logits"][:]
    for name in ("train", "transfer"):
        a, b = (np.array(data[name]["teacher_logits"]) for data in (exact, rounded))
        assert not np.array_equal(a, b)
        np.testing.assert_allclose(a, b, atol=0.1)


def test_the_training_arguments_follow_the_kind_and_the_seed() -> None:
    settings = Settings(epochs=6, learning_rate=1e-3, labels_only_epochs=5, labels_only_learning_rate=2e-3, temperature=3.0, alpha=0.25)
    for kind, epochs, rate in (("labels_only", 5, 2e-3), ("distilled", 6, 1e-3), ("labels_then_distilled", 3, 1e-3)):
        args = settings.arguments(kind, seed=9, language="en")
        assert (args.num_train_epochs, args.learning_rate, args.seed) == (epochs, rate, 9)
        assert (args.temperature, args.alpha, args.objective) == (3.0, 0.25, "kl")
    assert Settings(epochs=1).arguments("labels_then_distilled", 0, "en").num_train_epochs == 1  # half of it, but not none


# --- data -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def few_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transfer set in proportion to tiny tables: the sampling of 8,000 spans would try for long."""
    monkeypatch.setattr(data_module, "TRANSFER_SIZE", 60)


def write_table(path: Path, reviews: DatasetDict, extra: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> Path:
    """Two languages, their rows mixed: the labelled reviews as English, and reworded as French."""
    rows = []
    for row in concatenate_datasets([reviews[name] for name in ("train", "validation", "test")]).to_list():
        label = ["negative", "positive"][row["label"]]
        for language, text in (("en", row["text"]), ("fr", f"À propos : {row['text']}")):
            rows.append({"text": text, "label": label, "language": language} | (extra(row) if extra else {}))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_an_own_table_becomes_one_set_of_splits_a_language(tmp_path: Path, tiny_reviews: DatasetDict) -> None:
    table = write_table(tmp_path / "reviews.csv", tiny_reviews)
    whole = load_datasets(Settings(data=str(table), transfer_size=5000))
    assert list(whole) == ["en", "fr"]
    texts: dict[str, list[str]] = {}
    for language, data in whole.items():
        assert {"train", "validation", "test", "transfer"} <= set(data)
        for name in ("train", "validation", "test", "transfer"):
            assert len(data[name]) > 0 and set(data[name]["language"]) == {language}
            assert all(text.startswith("À propos") == (language == "fr") for text in data[name]["text"]) or name == "transfer"
            assert (set(data[name]["label"]) == {-1}) == (name == "transfer")
            texts.setdefault(name, []).extend(data[name]["text"])
        assert data["diagnostics"][0]["language"] == language  # the table has the kit's labels
    labelled = texts["train"] + texts["validation"] + texts["test"]
    assert len(labelled) == len(set(labelled)) == 128 and not set(texts["transfer"]) & set(texts["test"] + texts["validation"])


def test_the_datasets_are_cut_and_chosen_as_the_settings_say(tmp_path: Path, tiny_reviews: DatasetDict) -> None:
    path = str(write_table(tmp_path / "reviews.csv", tiny_reviews))
    whole = load_datasets(Settings(data=path, languages=["fr"], transfer_size=10**6, rows=10**6))["fr"]
    cut = load_datasets(Settings(data=path, languages=["fr"], rows=5, transfer_size=7))
    assert list(cut) == ["fr"]
    for name, size in (("train", 5), ("validation", 5), ("test", 5), ("transfer", 7)):
        assert cut["fr"][name].to_list() == whole[name].to_list()[:size]
    assert len(cut["fr"]["diagnostics"]) == len(whole["diagnostics"]) == 150
    with pytest.raises(InputError, match=r"no rows in de.*en, fr"):
        load_datasets(Settings(data=path, languages=["fr", "de"]))


def test_other_labels_than_the_kits_get_no_diagnostics(tmp_path: Path, tiny_reviews: DatasetDict) -> None:
    path = write_table(tmp_path / "reviews.csv", tiny_reviews)
    path.write_text(path.read_text(encoding="utf-8").replace(",negative,", ",one star,").replace(",positive,", ",five stars,"), "utf-8")
    data = load_datasets(Settings(data=str(path), languages=["en"]))["en"]
    assert data["train"].features["label"].names == ["five stars", "one star"] and "diagnostics" not in data


def test_the_kits_corpora_come_by_language(monkeypatch: pytest.MonkeyPatch, tiny_reviews: DatasetDict) -> None:
    asked: list[tuple[str, Any, Any]] = []

    def loaded(language: str, transfer: str | None, text_column: str | None) -> DatasetDict:
        asked.append((language, transfer, text_column))
        return tiny_reviews

    monkeypatch.setattr(experiment, "load_reviews", loaded)
    assert list(load_datasets(Settings(transfer="own.csv", text_column="body"))) == ["zh", "en", "fr"]
    assert list(load_datasets(Settings(languages=["fr"]))) == ["fr"]
    assert asked == [("zh", "own.csv", "body"), ("en", "own.csv", "body"), ("fr", "own.csv", "body"), ("fr", None, None)]
    with pytest.raises(InputError, match=r"no corpus in de"):
        load_datasets(Settings(languages=["fr", "de"]))


# --- the teacher ------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any) -> str:
    """The tiny teacher on disk."""
    tiny_teacher.save_pretrained(tmp_path / "teacher")
    tiny_tokenizer.save_pretrained(tmp_path / "teacher")
    return str(tmp_path / "teacher")


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What every call of ``train_classifier`` was given: the weights before, the training rows, the arguments, the length."""
    calls: list[Any] = []

    def watched(model: Any, tokenizer: Any, train: Dataset, validation: Dataset, args: Any, max_length: int = 128) -> Any:
        calls.append(({name: value.clone() for name, value in model.state_dict().items()}, train, args, max_length))
        return train_classifier(model, tokenizer, train, validation, args, max_length)

    monkeypatch.setattr(experiment, "train_classifier", watched)
    monkeypatch.setattr(teachers, "train_classifier", watched)
    return calls


def test_a_teacher_is_fine_tuned_once_on_all_languages(
    isolated_home: Path, checkpoint: str, trainings: list[Any], tiny_teacher: Any, tiny_reviews: DatasetDict
) -> None:
    settings = Settings(**(SHORT | {"teacher": checkpoint, "teacher_training": "full", "max_length": 40}))
    data, texts = {"en": tiny_reviews, "fr": tiny_reviews}, list(tiny_reviews["test"]["text"])
    first, second = (prepare_teacher(settings, data) for _ in range(2))
    assert len(trainings) == 1 and len(trainings[0][1]) == 64 and trainings[0][3] == 40
    np.testing.assert_array_equal(predict_logits(*first, texts), predict_logits(*second, texts))
    assert np.abs(predict_logits(*first, texts) - predict_logits(tiny_teacher, first[1], texts)).max() > 1e-4
    prepare_teacher(settings, {"en": tiny_reviews})
    assert len(trainings) == 2


def test_a_checkpoint_that_changed_is_fine_tuned_anew(
    isolated_home: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch, tiny_teacher: Any, tiny_reviews: DatasetDict
) -> None:
    trainings: list[Any] = []
    monkeypatch.setattr(teachers, "train_classifier", lambda *given: trainings.append(given))
    settings = Settings(**(SHORT | {"teacher": checkpoint, "teacher_training": "full"}))
    prepare_teacher(settings, {"en": tiny_reviews})
    with torch.no_grad():
        tiny_teacher.classifier.bias += 1
    tiny_teacher.save_pretrained(checkpoint)
    prepare_teacher(settings, {"en": tiny_reviews})
    assert len(trainings) == 2


def test_a_teacher_is_left_as_it_is_where_no_training_is_asked_for_or_the_data_bring_its_outputs(
    isolated_home: Path, checkpoint: str, trainings: list[Any], tiny_teacher: Any, tiny_reviews: DatasetDict
) -> None:
    told = DatasetDict({name: part.add_column("teacher_logits", [[0.0, 1.0]] * len(part)) for name, part in tiny_reviews.items()})
    for training, data in (("none", tiny_reviews), ("full", told)):
        settings = Settings(**(SHORT | {"teacher": checkpoint, "teacher_training": training}))
        teacher, _ = prepare_teacher(settings, {"en": data})
        assert all(torch.equal(value, tiny_teacher.state_dict()[name]) for name, value in teacher.state_dict().items())
    assert not trainings


def test_a_checkpoint_without_a_trained_head_is_no_teacher_as_it_is(
    isolated_home: Path, tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict
) -> None:
    """A new head is random: its outputs teach nothing, so that it must be fine-tuned first."""
    tiny_teacher.base_model.save_pretrained(tmp_path / "encoder")
    tiny_tokenizer.save_pretrained(tmp_path / "encoder")
    with pytest.raises(InputError, match="teacher_training"):
        prepare_teacher(Settings(**(SHORT | {"teacher": str(tmp_path / "encoder")})), {"en": tiny_reviews})


@pytest.mark.parametrize(("names", "training"), [(["bad", "good"], "lora"), (["negative", "positive"], None)])
def test_the_packaged_teacher_learns_other_labels_than_its_own(
    names: list[str], training: str | None, isolated_home: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch,
    tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict,
) -> None:  # fmt: skip
    loads, methods = [], []

    def loaded(name: str, *, label_names: list[str], adapter: str | None = "shipped") -> Any:
        loads.append((str(name), label_names, adapter))
        return tiny_teacher, tiny_tokenizer

    def tuned(teacher: Any, *given: Any, method: str, **others: Any) -> Any:
        methods.append(method)
        return teacher

    monkeypatch.setattr(experiment, "load_teacher", loaded)
    monkeypatch.setattr(experiment, "finetune_teacher", tuned)
    data = DatasetDict({name: part.cast_column("label", ClassLabel(names=names)) for name, part in tiny_reviews.items()})
    prepare_teacher(Settings(**SHORT), {"en": data})
    assert methods == ([training] if training else [])
    assert all(call[1] == names for call in loads)
    assert [call[2] for call in loads if call[0] == "packaged"] == [None if training else "shipped"]


# --- students ---------------------------------------------------------------------------------------------


@pytest.fixture
def taught(isolated_home: Path, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any) -> DatasetDict:
    return label_with_teacher(tiny_reviews, (tiny_teacher, tiny_tokenizer), Settings(**SHORT))


def test_every_split_but_validation_is_labelled(taught: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    for name, part in taught.items():
        assert ("teacher_logits" in part.column_names) == (name != "validation")
        if name != "validation":
            expected = predict_logits(tiny_teacher, tiny_tokenizer, part["text"], batch_size=1)
            np.testing.assert_allclose(np.array(part["teacher_logits"]), expected, atol=1e-5)


def test_the_teachers_texts_are_cut_as_the_settings_say(
    isolated_home: Path, tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    data = label_with_teacher(tiny_reviews, (tiny_teacher, tiny_tokenizer), Settings(**(SHORT | {"max_length": 8})))
    expected = predict_logits(tiny_teacher, tiny_tokenizer, data["test"]["text"], max_length=8)
    np.testing.assert_allclose(np.array(data["test"]["teacher_logits"]), expected, atol=1e-5)


def test_the_three_kinds_train_on_what_their_names_say(
    taught: DatasetDict, trainings: list[Any], tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    settings, teacher = Settings(**SHORT), (tiny_teacher, tiny_tokenizer)
    outcomes = {kind: train_student(kind, taught, *teacher, settings, 0) for kind in KINDS}
    assert len(trainings) == 3  # labels_then_distilled takes up the labels-only student that is there
    (start, labels, _, _), (same_start, both, args, length), (second_start, both_again, _, _) = trainings
    assert list(labels["text"]) == list(taught["train"]["text"]) and "teacher_logits" not in labels.column_names
    for rows in (both, both_again):
        assert list(rows["text"]) == [*taught["train"]["text"], *taught["transfer"]["text"]]
        assert rows["teacher_logits"][:] == taught["train"]["teacher_logits"][:] + taught["transfer"]["teacher_logits"][:]
        assert rows["label"][:] == [*taught["train"]["label"], *[-1] * len(taught["transfer"])]
    assert (args.temperature, args.alpha, args.seed, length) == (settings.temperature, settings.alpha, 0, 64)

    assert all(torch.equal(start[name], same_start[name]) for name in start)
    copied = {"bert.encoder.layer.0.": "bert.encoder.layer.1.", "bert.encoder.layer.1.": "bert.encoder.layer.3."}
    for name, value in start.items():
        if "word_embeddings" not in name:
            source = next((name.replace(own, of) for own, of in copied.items() if own in name), name)
            assert torch.equal(value, tiny_teacher.state_dict()[source]), name
    labels_only, _ = load_student(outcomes["labels_only"])
    assert all(torch.equal(value, labels_only.state_dict()[name]) for name, value in second_start.items())
    assert not all(torch.equal(value, start[name]) for name, value in second_start.items())

    logits = [outcome.logits["test"] for outcome in outcomes.values()]
    assert min(np.abs(a - b).max() for i, a in enumerate(logits) for b in logits[:i]) > 1e-4
    for outcome in outcomes.values():
        assert outcome.logits.keys() == {"test"} and outcome.logits["test"].shape == (16, 2)
        expected = predict_logits(*load_student(outcome), taught["test"]["text"], batch_size=1)
        np.testing.assert_allclose(outcome.logits["test"], expected, rtol=1e-5, atol=1e-5)
        assert any("eval_accuracy" in entry for entry in outcome.history)


def test_a_finished_student_is_only_read_again(
    taught: DatasetDict, monkeypatch: pytest.MonkeyPatch, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    teacher = (tiny_teacher, tiny_tokenizer)
    first = train_student("distilled", taught, *teacher, Settings(**SHORT), 0)

    class Trained(Exception):
        pass

    def refuse(*given: Any) -> None:
        raise Trained

    monkeypatch.setattr(experiment, "train_classifier", refuse)
    for others in ({}, {"seeds": [0, 1]}, {"languages": ["en"]}):  # nothing that this student depends on
        again = train_student("distilled", taught, *teacher, Settings(**(SHORT | others)), 0)
        assert again.folder == first.folder and again.history == first.history
        np.testing.assert_array_equal(again.logits["test"], first.logits["test"])
    longer = DatasetDict({**taught, "transfer": taught["transfer"].select(range(5))})
    for data, others, kind, seed in (
        (taught, {}, "distilled", 1), (taught, {}, "labels_only", 0), (longer, {}, "distilled", 0), (taught, {"alpha": 0.5}, "distilled", 0),
        (taught, {"layers": [0, 3]}, "distilled", 0), (taught, {"max_length": 32}, "distilled", 0),
    ):  # fmt: skip
        with pytest.raises(Trained):
            train_student(kind, data, *teacher, Settings(**(SHORT | others)), seed)  # type: ignore[arg-type]
    with torch.no_grad():
        tiny_teacher.bert.encoder.layer[1].output.dense.bias[0] += 0.5
    with pytest.raises(Trained):
        train_student("distilled", taught, *teacher, Settings(**SHORT), 0)


def test_a_student_gets_the_layers_of_its_language(
    taught: DatasetDict, trainings: list[Any], tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    settings = Settings(**(SHORT | {"layers": {"en": [2], "fr": [0, 1]}}))
    outcome = train_student("labels_only", taught, tiny_teacher, tiny_tokenizer, settings, 0)
    name = "bert.encoder.layer.{}.output.dense.weight"
    assert torch.equal(trainings[0][0][name.format(0)], tiny_teacher.state_dict()[name.format(2)])
    assert load_student(outcome)[0].config.num_hidden_layers == 1


def test_rows_without_label_are_no_training_labels(
    taught: DatasetDict, trainings: list[Any], tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    train = taught["train"].map(lambda row, i: {"label": row["label"] if i % 2 else -1}, with_indices=True)
    data = DatasetDict({**taught, "train": train, "diagnostics": taught["test"].select(range(3))})
    outcome = train_student("labels_only", data, tiny_teacher, tiny_tokenizer, Settings(**SHORT), 0)
    assert list(trainings[0][1]["text"]) == list(train["text"])[1::2]
    assert {name: values.shape for name, values in outcome.logits.items()} == {"test": (16, 2), "diagnostics": (3, 2)}


def test_every_kind_and_seed_has_its_student(monkeypatch: pytest.MonkeyPatch, tiny_reviews: DatasetDict) -> None:
    monkeypatch.setattr(experiment, "train_student", lambda kind, data, model, tokenizer, settings, seed: (kind, seed, model, tokenizer))
    students = train_students(tiny_reviews, ("model", "tokenizer"), Settings(**(SHORT | {"seeds": [3, 5]})))  # type: ignore[arg-type]
    assert students == {kind: [(kind, seed, "model", "tokenizer") for seed in (3, 5)] for kind in KINDS}


# --- a black-box teacher ----------------------------------------------------------------------------------


def test_a_black_box_teachers_outputs_are_what_students_learn(
    isolated_home: Path, tmp_path: Path, trainings: list[Any], tiny_reviews: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any
) -> None:
    """A table with a column for every class goes through the whole report without calling any teacher."""
    p = {text: 0.05 + 0.01 * i for i, text in enumerate(sorted({text for part in tiny_reviews.values() for text in part["text"]})[::2])}

    def told(row: dict[str, Any]) -> dict[str, Any]:
        share = p.get(row["text"], 0.5)
        return {"p_negative": round(1 - share, 2), "p_positive": round(share, 2)}

    settings = Settings(**(SHORT | {"data": str(write_table(tmp_path / "reviews.csv", tiny_reviews, told)), "languages": ["en"]}))
    data = load_datasets(settings)["en"]
    for row in data["train"].to_list() + data["test"].to_list():
        assert softmax(row["teacher_logits"])[1] == pytest.approx(p.get(row["text"], 0.5), abs=1e-4)

    calls: list[Any] = []
    tiny_teacher.register_forward_pre_hook(lambda *given: calls.append(given))
    same = label_with_teacher(data, (tiny_teacher, tiny_tokenizer), settings)
    outcome = train_student("distilled", same, tiny_teacher, tiny_tokenizer, settings, 0)
    assert not calls and {name: part.to_dict() for name, part in same.items()} == {name: part.to_dict() for name, part in data.items()}
    rows = trainings[0][1]
    assert len(rows) == len(data["train"]) and list(rows["text"]) == list(data["train"]["text"])
    assert rows["teacher_logits"][:] == data["train"]["teacher_logits"][:]
    assert np.isfinite(outcome.logits["test"]).all()


def test_a_black_box_teacher_is_not_asked_about_the_diagnostic_texts(tmp_path: Path, tiny_reviews: DatasetDict) -> None:
    """Nobody knows what it would say of them, so that phenomena cannot be measured."""
    path = write_table(tmp_path / "reviews.csv", tiny_reviews, lambda row: {"p_negative": 0.25, "p_positive": 0.75})
    for data in load_datasets(Settings(data=str(path))).values():
        assert "teacher_logits" in data["test"].column_names and "diagnostics" not in data


def test_text_of_which_a_black_box_teacher_said_nothing_is_refused(tmp_path: Path, tiny_reviews: DatasetDict) -> None:
    path = write_table(tmp_path / "reviews.csv", tiny_reviews, lambda row: {"p_negative": 0.25, "p_positive": 0.75})
    own = tmp_path / "own.txt"
    own.write_text("\n".join(f"free text number {i}" for i in range(20)), encoding="utf-8")
    with pytest.raises(InputError, match=r"own\.txt"):
        load_datasets(Settings(data=str(path), transfer=str(own)))


def test_what_a_black_box_teacher_said_of_other_text_is_read_too(tmp_path: Path, tiny_reviews: DatasetDict) -> None:
    path = write_table(tmp_path / "reviews.csv", tiny_reviews, lambda row: {"p_negative": 0.25, "p_positive": 0.75})
    own = tmp_path / "own.csv"
    own.write_text("text,p_positive,p_negative\n" + "\n".join(f"free text number {i},0.9,0.1" for i in range(20)), encoding="utf-8")
    data = load_datasets(Settings(data=str(path), transfer=str(own), languages=["en"]))["en"]
    np.testing.assert_allclose(softmax(np.array(data["train"]["teacher_logits"]), axis=-1)[:, 1], 0.75, atol=1e-5)
    np.testing.assert_allclose(softmax(np.array(data["transfer"]["teacher_logits"]), axis=-1)[:, 1], 0.9, atol=1e-5)
    assert len(data["transfer"]) == 20 and set(data["transfer"]["label"]) == {-1}


def test_continue_teaches_the_shipped_adapter_the_languages_that_are_new_to_it(
    monkeypatch: pytest.MonkeyPatch, isolated_home: Path, tiny_teacher: Any, tiny_tokenizer: Any, tiny_reviews: DatasetDict
) -> None:
    loaded, taught = [], []

    def load(name: Any, **given: Any) -> Any:
        loaded.append((name, given.get("adapter", "shipped")))
        return tiny_teacher, tiny_tokenizer

    def finetune(model: Any, tokenizer: Any, train: Any, validation: Any, **given: Any) -> Any:
        taught.append((train, validation, given["method"], given["num_train_epochs"]))
        return model

    monkeypatch.setattr(experiment, "load_teacher", load)
    monkeypatch.setattr(experiment, "finetune_teacher", finetune)
    settings, french = Settings(**(SHORT | {"teacher_training": "continue"})), tiny_reviews
    for _ in range(2):  # the second time it is read
        prepare_teacher(settings, {"zh": tiny_reviews, "fr": french})
    assert taught == [([french["train"]], [french["validation"]], "lora", 1)]
    assert loaded[0] == ("packaged", "shipped") and loaded[1][0] == loaded[3][0] != "packaged"
    prepare_teacher(settings, {"zh": tiny_reviews, "en": tiny_reviews})
    assert len(taught) == 1 and loaded[-1] == ("packaged", "shipped")


# --- the baseline -----------------------------------------------------------------------------------------


def toy(texts: dict[str, list[tuple[str, int]]]) -> DatasetDict:
    return DatasetDict({name: Dataset.from_dict({"text": [t for t, _ in rows], "label": [y for _, y in rows]}) for name, rows in texts.items()})


def test_the_baseline_beats_the_majority_where_words_tell_the_classes(tiny_reviews: DatasetDict) -> None:
    model = tfidf_baseline(tiny_reviews, "en")
    labels = np.array(tiny_reviews["test"]["label"])
    accuracy, majority = model.score(list(tiny_reviews["test"]["text"]), labels), max(labels.mean(), 1 - labels.mean())
    assert accuracy > majority + 0.2
    assert model[0].analyzer == "word" and any(" " in feature for feature in model[0].get_feature_names_out())


def test_chinese_is_cut_into_characters_and_english_into_words() -> None:
    """Words of unsegmented text are whole clauses, which never come back; its characters do."""
    made = [(f"{a}{b}{c}", y) for y, c in ((0, "很差劲"), (1, "很好吃")) for a in "这那我你他" for b in ("家店", "道菜", "个人")]
    data = toy({"train": made[::2], "validation": made[1::4], "test": made[3::4]})
    texts, labels = list(data["test"]["text"]), list(data["test"]["label"])
    chinese, words = tfidf_baseline(data, "zh"), tfidf_baseline(data, "en")
    assert chinese[0].analyzer == "char" and max(map(len, chinese[0].get_feature_names_out())) == 4
    assert chinese.score(texts, labels) == 1 and words.score(texts, labels) < 1


def test_the_baseline_takes_labelled_rows_and_the_best_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    words, rows = [f"w{i}" for i in range(60)], []
    for _ in range(260):
        chosen = generator.choice(60, size=6)
        rows.append((" ".join(words[i] for i in chosen), int((chosen < 30).sum() + generator.normal(0, 1.5) > 3)))
    unlabelled = [(f"neverseen {text}", -1) for text, _ in rows[:20]]
    data = toy({"train": rows[:80] + unlabelled, "validation": rows[80:180], "test": rows[180:]})
    fitted: dict[float, float] = {}

    class Watched(experiment.LogisticRegression):
        def score(self, *given: Any) -> float:
            fitted[self.C] = super().score(*given)
            return fitted[self.C]

    monkeypatch.setattr(experiment, "LogisticRegression", Watched)
    model = tfidf_baseline(data, "fr")
    assert "neverseen" not in model[0].vocabulary_ and set(model[1].classes_) == {0, 1}
    best = max(fitted.values())
    assert len(fitted) > 3 and min(fitted.values()) < best
    labels = np.array(data["validation"]["label"])
    assert (model.predict(list(data["validation"]["text"])) == labels).mean() == best


def test_the_history_is_json_that_anyone_can_read(taught: DatasetDict, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    outcome = train_student("labels_only", taught, tiny_teacher, tiny_tokenizer, Settings(**SHORT), 0)
    assert json.loads((outcome.folder / "history.json").read_text(encoding="utf-8")) == outcome.history
    assert {path.suffix for path in outcome.folder.iterdir()} <= {".json", ".safetensors"}
