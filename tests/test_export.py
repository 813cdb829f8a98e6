"""The exported files give PyTorch's logits for any batch and length, with nothing but onnxruntime; bad input gets a sentence."""

import contextlib
import copy
import io
import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import (
    AutoTokenizer,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from kdlib import make_bilstm_student, make_student, predict_logits
from kdlib.cli import main
from kdlib.errors import InputError
from kdlib.evaluate import agreement, evaluate
from kdlib.export import FILES, OnnxClassifier, export_onnx, parity

onnx = pytest.importorskip("onnx", reason="pip install kdlib[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install kdlib[onnx]")
pytest.importorskip("onnxscript", reason="pip install kdlib[onnx]")


@pytest.fixture(scope="module")
def exported(made_once: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny teacher as ONNX."""
    tokenizer, teacher = (copy.deepcopy(part) for part in made_once)
    return export_onnx(teacher, tokenizer, tmp_path_factory.mktemp("onnx") / "teacher")


@pytest.fixture
def texts(tiny_reviews: Any) -> list[str]:
    return list(tiny_reviews["transfer"]["text"])


def initializers(path: Path) -> list[Any]:
    return list(onnx.load(path).graph.initializer)


# --- the files --------------------------------------------------------------------------------------------


def test_float32_gives_the_logits_of_pytorch(exported: Path, tiny_teacher: Any, tiny_tokenizer: Any, texts: list[str]) -> None:
    expected = predict_logits(tiny_teacher, tiny_tokenizer, texts)
    classifier = OnnxClassifier(exported, int8=False)
    assert expected.std() > 0.5
    for size in (1, 3, 64):  # batches of other sizes, lengths and padding than at the export
        np.testing.assert_allclose(classifier.predict_logits(texts, size), expected, atol=1e-5)
    np.testing.assert_allclose(classifier.predict_logits(texts[:1]), expected[:1], atol=1e-5)
    for length in (4, 9):
        cut = predict_logits(tiny_teacher, tiny_tokenizer, texts, max_length=length)
        np.testing.assert_allclose(classifier.predict_logits(texts, max_length=length), cut, atol=1e-5)


def test_every_length_that_the_model_knows(exported: Path, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    texts = ["", "good", "the film " * 80]  # no piece at all, one, and more than the 128 positions
    assert len(tiny_tokenizer(texts[-1])["input_ids"]) > 128
    logits = OnnxClassifier(exported, int8=False).predict_logits(texts)
    np.testing.assert_allclose(logits, predict_logits(tiny_teacher, tiny_tokenizer, texts), atol=1e-5)


def test_other_architectures(tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any, texts: list[str]) -> None:
    """DistilBERT takes no token types, RoBERTa counts positions from the padding, ELECTRA has narrow embeddings."""
    torch.manual_seed(0)
    pieces, pad = len(tiny_tokenizer), tiny_tokenizer.pad_token_id
    distil = DistilBertConfig(vocab_size=pieces, dim=16, n_layers=1, n_heads=2, hidden_dim=32, pad_token_id=pad, initializer_range=0.5)
    roberta = RobertaConfig(
        vocab_size=pieces, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=140, pad_token_id=pad, initializer_range=0.5,
    )  # fmt: skip
    narrow, _ = make_student(tiny_teacher, tiny_tokenizer, 1, "full", embedding_size=8)
    for model in (DistilBertForSequenceClassification(distil).eval(), RobertaForSequenceClassification(roberta).eval(), narrow):
        folder = export_onnx(model, tiny_tokenizer, tmp_path / type(model).__name__, quantize=False)
        logits = OnnxClassifier(folder, int8=False).predict_logits(texts, 5)
        np.testing.assert_allclose(logits, predict_logits(model, tiny_tokenizer, texts), atol=1e-5)
        assert not (folder / "model.int8.onnx").exists()


def test_int8_is_close_and_holds_its_matrices_in_8_bits(exported: Path, tiny_teacher: Any, tiny_tokenizer: Any, texts: list[str]) -> None:
    expected = predict_logits(tiny_teacher, tiny_tokenizer, texts)
    gap = np.abs(OnnxClassifier(exported).predict_logits(texts, 1) - expected)
    assert 0 < gap.max() < 0.25 * expected.std()
    size = len(tiny_tokenizer) * 16
    before, after = ({part.data_type for part in initializers(exported / name) if np.prod(part.dims) == size} for name in ("model.onnx", "model.int8.onnx"))
    assert before == {onnx.TensorProto.FLOAT}
    assert after <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8} and len(after) == 1


@pytest.mark.parametrize(("layers", "spared"), [(2, 0), (3, 3)])
def test_what_follows_a_gelu_stays_float32_in_deep_models(
    tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any, layers: int, spared: int
) -> None:
    student, tokenizer = make_student(tiny_teacher, tiny_tokenizer, layers, "full")
    parts = initializers(export_onnx(student, tokenizer, tmp_path / "student") / "model.int8.onnx")
    kinds = [part.data_type for part in parts if list(part.dims) == [32, 16]]  # from the neurons back
    assert sorted(kinds) == [onnx.TensorProto.FLOAT] * spared + [onnx.TensorProto.INT8] * (layers - spared)


def test_rows_of_the_word_embeddings_are_within_half_a_step(exported: Path, tiny_teacher: Any) -> None:
    """scale = largest magnitude / 127, so that rounding is off by half of it at most."""
    table = tiny_teacher.bert.embeddings.word_embeddings.weight.detach().numpy()
    model = onnx.load(exported / "model.int8.onnx")
    parts = {part.name: onnx.numpy_helper.to_array(part) for part in model.graph.initializer}
    (name,) = (name for name, part in parts.items() if part.shape == table.shape)
    (node,) = (node for node in model.graph.node if name in node.input)
    (dequantise,) = (other for other in model.graph.node if node.output[0] in other.input)
    scale, zero = (parts[key].astype(float) for key in dequantise.input[1:3])
    restored = (parts[name] - zero) * scale
    assert scale <= 2 * np.abs(table).max() / 254 * 1.001
    assert np.abs(restored - table).max() <= 0.501 * scale


def test_the_folder_holds_all_that_is_needed_and_names_no_place(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == FILES
    for path in exported.iterdir():
        content = path.read_bytes()
        for place in (str(Path(sys.prefix)), str(exported.parent), str(Path(__file__).parent.parent), "site-packages"):
            assert place.encode() not in content, (path.name, place)
    graph = onnx.load(exported / "model.onnx").graph
    sizes = {part.name: [size.dim_param or size.dim_value for size in part.type.tensor_type.shape.dim] for part in [*graph.input, *graph.output]}
    assert sizes == {"input_ids": ["batch", "tokens"], "attention_mask": ["batch", "tokens"], "logits": ["batch", 2]}


def test_the_readme_works_as_it_stands(exported: Path, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    (program,) = re.findall(r"```python\n(.+?)```", (exported / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    program += "import sys\nprint([name for name in ('torch', 'transformers', 'kdlib') if name in sys.modules])\n"
    run = subprocess.run([sys.executable, "-c", program], cwd=exported, capture_output=True, text=True, check=True)
    logits = predict_logits(tiny_teacher, tiny_tokenizer, ["The room was clean.", "Never again."])
    assert run.stdout.splitlines() == [str([OnnxClassifier(exported).labels[i] for i in logits.argmax(-1)]), "[]"]


def test_the_tokenizer_cuts_and_pads_by_itself_and_still_loads_as_any_other(exported: Path, tiny_tokenizer: Any, texts: list[str]) -> None:
    from tokenizers import Tokenizer

    alone, loaded = Tokenizer.from_file(str(exported / "tokenizer.json")), AutoTokenizer.from_pretrained(exported)
    batch = alone.encode_batch([*texts, "the film " * 80])
    expected = tiny_tokenizer([*texts, "the film " * 80], truncation=True, max_length=128, padding=True)
    assert [part.ids for part in batch] == expected["input_ids"]
    assert [part.attention_mask for part in batch] == expected["attention_mask"]
    assert loaded(texts)["input_ids"] == tiny_tokenizer(texts)["input_ids"]


def test_the_names_of_the_classes(exported: Path, tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    assert OnnxClassifier(exported).labels == ["negative", "positive"]
    tiny_teacher.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}  # a configuration leaves out what is the default
    folder = export_onnx(tiny_teacher, tiny_tokenizer, tmp_path / "new", quantize=False)
    assert OnnxClassifier(folder, int8=False).labels == ["LABEL_0", "LABEL_1"]
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "LABEL_0", "1": "LABEL_1"}


def test_the_given_model_and_tokenizer_stay_as_they_are(tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any) -> None:
    model = tiny_teacher.bfloat16().train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    attention, state = model.config._attn_implementation, tiny_tokenizer.backend_tokenizer.to_str()
    folder = export_onnx(model, tiny_tokenizer, tmp_path / "new", quantize=False)
    assert (model.training, model.config._attn_implementation, model.dtype) == (True, attention, torch.bfloat16)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert tiny_tokenizer.backend_tokenizer.to_str() == state
    logits = OnnxClassifier(folder, int8=False).predict_logits(["good", "bad"])  # without dropout, in float32
    np.testing.assert_allclose(logits, predict_logits(model.float(), tiny_tokenizer, ["good", "bad"]), atol=1e-5)


def test_the_export_says_nothing(tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any, recwarn: Any, caplog: Any) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
        export_onnx(tiny_teacher, tiny_tokenizer, tmp_path / "new")
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (out.getvalue(), error.getvalue(), [str(warning.message) for warning in recwarn], logged) == ("", "", [], [])


# --- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any) -> Path:
    for part in (tiny_teacher, tiny_tokenizer):
        part.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_the_command_exports_a_checkpoint_and_an_export_replaces_an_earlier_one(checkpoint: Path, tmp_path: Path, exported: Path) -> None:
    target = tmp_path / "deep" / "out"
    result = run(checkpoint, "--output", target)
    assert (result.exit_code, result.stderr) == (0, "")
    assert {Path(line.split("MB  ")[1]) for line in result.stdout.splitlines()} == {target / name for name in FILES}
    texts = ["good", "咖啡 很差"]
    for int8 in (True, False):
        logits = OnnxClassifier(target, int8).predict_logits(texts)
        np.testing.assert_allclose(logits, OnnxClassifier(exported, int8).predict_logits(texts), atol=1e-5)
    assert run(checkpoint, "--output", target, "--no-quantize").exit_code == 0
    assert {path.name for path in target.iterdir()} == FILES - {"model.int8.onnx"}
    assert sorted(path.name for path in target.parent.iterdir()) == ["out"]


def test_bad_input_is_one_sentence_and_nothing_is_written(checkpoint: Path, tmp_path: Path, tiny_teacher: Any) -> None:
    empty, bare, headless, broken, file = (tmp_path / name for name in ("empty", "bare", "headless", "broken", "file"))
    empty.mkdir()
    tiny_teacher.save_pretrained(bare)
    for copied in (headless, broken):
        shutil.copytree(checkpoint, copied)
    BertModel(tiny_teacher.config).save_pretrained(headless)
    (broken / "model.safetensors").write_bytes(b"nothing")
    file.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    cases = [
        (tmp_path / "missing", tmp_path / "new", "No model could be loaded"),
        (empty, tmp_path / "new", "No model could be loaded"),
        (bare, tmp_path / "new", "has no tokenizer"),
        (headless, tmp_path / "new", "no trained classifier"),
        (broken, tmp_path / "new", "No model could be loaded"),
        (checkpoint, file / "new", "cannot be written"),
        (checkpoint, file, "There is something else at"),
        (checkpoint, checkpoint, "There is something else at"),  # would delete what it reads
        (checkpoint, tmp_path, "There is something else at"),
    ]
    for source, target, says in cases:
        result = run(source, "--output", target)
        assert (result.exit_code, result.stdout) == (2, ""), says
        (line,) = result.stderr.splitlines()
        assert line.startswith("kdlib: ") and says in line, line
        assert sorted(tmp_path.rglob("*")) == before, says


def test_what_cannot_be_exported(tmp_path: Path, tiny_teacher: Any, tiny_tokenizer: Any, texts: list[str], make_xlm_tokenizer: Any) -> None:
    student, tokenizer = make_bilstm_student(tiny_teacher, tiny_tokenizer, texts, embedding_size=8, hidden_size=8)
    with pytest.raises(InputError, match=r"BiLSTMForSequenceClassification does not export"):
        export_onnx(student, tokenizer, tmp_path / "new")
    for other in (None, make_xlm_tokenizer(tmp_path / "xlm")):
        with pytest.raises(InputError, match="no fast tokenizer"):
            export_onnx(tiny_teacher, other, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "onnxscript"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exported: Path, checkpoint: Path, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    result = run(checkpoint, "--output", tmp_path / "new")
    assert result.exit_code == 2 and f"({name}): pip install kdlib[onnx]." in result.stderr
    with pytest.raises(InputError, match="pip install") if name == "onnxruntime" else contextlib.nullcontext():
        OnnxClassifier(exported)


def test_kdlib_and_its_export_import_without_the_extra() -> None:
    program = "import sys\nfor name in ('onnx', 'onnxruntime', 'onnxscript'): sys.modules[name] = None\nimport kdlib.cli, kdlib.export"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parent.parent)


# --- the classifier ---------------------------------------------------------------------------------------


def test_logits_come_in_the_order_of_the_texts_and_none_for_none(exported: Path, texts: list[str]) -> None:
    classifier = OnnxClassifier(exported, int8=False, threads=1)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = classifier.predict_logits([texts[i] for i in order], batch_size=3)
    np.testing.assert_allclose(shuffled, classifier.predict_logits(texts)[order], atol=1e-5)
    assert classifier.predict_logits([]).shape == (0, 2)
    assert shuffled.dtype == np.float32


@pytest.mark.parametrize(("texts", "says"), [("good", "single string"), (["good", None], "Text 1 is None"), ([b"good"], "Text 0 is b'good'")])
def test_what_is_no_list_of_strings_is_refused(exported: Path, texts: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        OnnxClassifier(exported).predict_logits(texts)


def test_a_folder_that_lacks_a_file_and_threads_that_are_none(exported: Path, tmp_path: Path) -> None:
    for name in ("model.int8.onnx", "config.json", "tokenizer.json"):
        folder = tmp_path / name.replace(".", "_")
        shutil.copytree(exported, folder)
        (folder / name).unlink()
        with pytest.raises(InputError, match=f"holds no {re.escape(name)}"):
            OnnxClassifier(folder)
    with pytest.raises(InputError, match="threads is 0"):
        OnnxClassifier(exported, threads=0)


# --- parity -----------------------------------------------------------------------------------------------


def test_parity_is_what_hands_count() -> None:
    reference = np.array([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0], [0.0, 3.0]])
    other = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.5], [0.0, 3.0]])
    figures = parity(reference, other, [0, 1, 0, 0])
    gap = 1 / (1 + np.exp(-0.5)) - 1 / (1 + np.exp(0.5))  # of the third text, whose class changes
    assert figures == {"n": 4, "agreement": 0.75, "reference_accuracy": 0.75, "accuracy": 0.5, "largest_difference": pytest.approx(gap)}
    assert parity(reference, reference + 5, [0, 1, 0, 0])["largest_difference"] == pytest.approx(0)  # a shift changes nothing
    assert figures["agreement"] == agreement(reference, other)
    assert figures["accuracy"] == evaluate([0, 1, 0, 0], other, ["a", "b"]).accuracy


@pytest.mark.parametrize(("other", "labels"), [(np.zeros((2, 2)), [0, 1, 0]), (np.zeros((3, 3)), [0, 1, 0]), (np.zeros((3, 2)), [0, 1, 2])])
def test_parity_of_what_does_not_fit(other: np.ndarray, labels: list[int]) -> None:
    with pytest.raises(InputError):
        parity(np.zeros((3, 2)), other, labels)
