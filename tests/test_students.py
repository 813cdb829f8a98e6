"""Students keep what they are told to keep of their teacher, on tiny teachers with random weights."""

import copy
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizer,
    CamembertConfig,
    CamembertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from kdlib.errors import InputError
from kdlib.students import choose_layers, make_bilstm_student, make_student, prune_feed_forward

TEXTS = """The room was clean and the staff were friendly
We waited two hours for a cold dinner
A charming film with a clever ending
The battery died after three days
La chambre était propre et le personnel très aimable
Nous avons attendu deux heures pour un dîner froid
Un film charmant, à la fin pleine d'esprit
La batterie est morte après trois jours
房间很干净，服务员也很热情
等了两个小时，饭菜又冷又没味道
电影很好看，结局很巧妙
手机电池三天就坏了，不要买""".splitlines()
SOME = TEXTS[:3] + TEXTS[8:10]  # what a student is trimmed to
WIDTH, LAYERS, HEADS = 16, 4, 2
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def unigram(special_last: bool) -> PreTrainedTokenizerFast:
    """XLM-R's kind of tokenizer; with the special tokens last, trimming changes their ids."""
    words = [f"▁{word}" for text in TEXTS for word in text.split()]
    counts = Counter(w[i:j] for w in words for i in range(len(w)) for j in range(i + 1, min(i + 5, len(w)) + 1))
    pieces = [(piece, math.log(counts[piece] / len(counts))) for piece in sorted(counts)]
    special = [(token, 0.0) for token in SPECIAL]
    pieces = pieces + special if special_last else special + pieces
    ids = {piece: i for i, (piece, _) in enumerate(pieces)}
    backend = Tokenizer(models.Unigram(pieces, unk_id=ids["<unk>"], byte_fallback=False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    template = [(token, ids[token]) for token in ("<s>", "</s>")]
    backend.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=template)
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
    tokens: dict[str, Any] = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **tokens)


def wordpiece() -> BertTokenizer:
    normalise = normalizers.BertNormalizer(lowercase=False).normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = [word for text in TEXTS for word, _ in split(normalise(text))]
    pieces = {w[:j] for w in words for j in range(1, 5)} | {
        f"##{w[i:j]}" for w in words for i in range(1, len(w)) for j in (i + 1, i + 2)
    }
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(pieces)]
    return BertTokenizer(vocab={p: i for i, p in enumerate(vocabulary)}, do_lower_case=False, model_max_length=64)


Pair = tuple[PreTrainedModel, PreTrainedTokenizerFast]
KINDS: dict[str, tuple[type, type, Any]] = {
    "bert": (BertConfig, BertForSequenceClassification, wordpiece()),
    "bert-unigram": (BertConfig, BertForSequenceClassification, unigram(special_last=True)),
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaForSequenceClassification, unigram(special_last=False)),
    "camembert": (CamembertConfig, CamembertForSequenceClassification, unigram(special_last=True)),
}


def make_teacher(kind: str, seed: int = 0) -> Pair:
    """A teacher of which every weight is random, also layer norms and biases, and its tokenizer."""
    config_class, model_class, tokenizer = KINDS[kind]
    pad = tokenizer.pad_token_id
    config = config_class(
        vocab_size=len(tokenizer) + 3, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=24, max_position_embeddings=64 + pad + 1, type_vocab_size=2, pad_token_id=pad,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, hidden_dropout_prob=0.3,
        attention_probs_dropout_prob=0.2, classifier_dropout=0.4, layer_norm_eps=1e-6,
        id2label={0: "bad", 1: "fair", 2: "good"}, label2id={"bad": 0, "fair": 1, "good": 2},
        problem_type="single_label_classification",
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return model, tokenizer


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> Pair:
    return make_teacher(request.param)


@torch.no_grad()
def logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: list[str] = SOME) -> torch.Tensor:
    return model(**tokenizer(texts, padding=True, return_tensors="pt")).logits


def layer_weights(model: PreTrainedModel, layer: int) -> torch.Tensor:
    encoder: Any = model.base_model.encoder
    return torch.cat([parameter.flatten() for parameter in encoder.layer[layer].parameters()])


# --- layers, vocabulary, copies -----------------------------------------------------------------------------


def test_all_layers_and_the_full_vocabulary_are_the_teacher(pair: Pair) -> None:
    teacher, tokenizer = pair
    student, same = make_student(teacher, tokenizer, layers=LAYERS, vocabulary="full")
    assert same is tokenizer
    assert type(student) is type(teacher) and not student.training
    assert torch.equal(logits(student, tokenizer), logits(teacher, tokenizer))


def test_a_trimmed_vocabulary_gives_the_same_logits(pair: Pair) -> None:
    teacher, tokenizer = pair
    student, trimmed = make_student(teacher, tokenizer, layers=LAYERS, texts=SOME)
    assert student.config.vocab_size == len(trimmed) < len(tokenizer)
    assert student.num_parameters() == teacher.num_parameters() - WIDTH * (len(tokenizer) + 3 - len(trimmed))
    expected = logits(teacher, tokenizer)
    assert expected.std() > 0.1  # the logits differ from text to text, so that equality means something
    torch.testing.assert_close(logits(student, trimmed), expected, atol=1e-5, rtol=0)


def test_each_piece_keeps_its_embedding(pair: Pair) -> None:
    teacher, tokenizer = pair
    student, trimmed = make_student(teacher, tokenizer, texts=SOME)
    old, new = (model.get_input_embeddings().get_parameter("weight") for model in (teacher, student))
    for piece, i in trimmed.get_vocab().items():
        assert torch.equal(new[i], old[tokenizer.get_vocab()[piece]])


@pytest.mark.parametrize(("layers", "chosen"), [(2, [1, 3]), (1, [3]), ([0, 2, 3], [0, 2, 3]), ((2,), [2])])
def test_layers_are_the_chosen_ones(pair: Pair, layers: Any, chosen: list[int]) -> None:
    teacher, tokenizer = pair
    student, _ = make_student(teacher, tokenizer, layers=layers, vocabulary="full")
    assert student.config.num_hidden_layers == len(chosen)
    for i, layer in enumerate(chosen):
        same = [torch.equal(layer_weights(student, i), layer_weights(teacher, j)) for j in range(LAYERS)]
        assert same == [j == layer for j in range(LAYERS)]


def test_a_cut_student_computes_its_layers_of_the_teacher() -> None:
    teacher, tokenizer = make_teacher("bert")
    student, _ = make_student(teacher, tokenizer, layers=[0, 1], vocabulary="full")
    shorter: Any = copy.deepcopy(teacher)
    shorter.bert.encoder.layer = shorter.bert.encoder.layer[:2]
    assert torch.equal(logits(student, tokenizer), logits(shorter, tokenizer))
    assert not torch.allclose(logits(student, tokenizer), logits(teacher, tokenizer))


@pytest.mark.parametrize(
    ("k", "chosen"), [(1, [11]), (2, [5, 11]), (3, [3, 7, 11]), (4, [2, 5, 8, 11]), (6, [1, 3, 5, 7, 9, 11])]
)
def test_layers_of_twelve(k: int, chosen: list[int]) -> None:
    assert choose_layers(k, 12) == chosen


@settings(max_examples=60, deadline=None, database=None)
@given(data=st.data(), n=st.integers(1, 48))
def test_a_number_of_layers_is_spread_evenly(data: st.DataObject, n: int) -> None:
    k = data.draw(st.integers(1, n))
    chosen = choose_layers(k, n)
    gaps = np.diff([-1, *chosen])
    assert len(chosen) == k and chosen[-1] == n - 1
    assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_settings_are_the_teachers(pair: Pair) -> None:
    teacher, tokenizer = pair
    for size in (None, 8):
        student, trimmed = make_student(teacher, tokenizer, texts=SOME, embedding_size=size)
        for name in ("id2label", "label2id", "problem_type", "hidden_dropout_prob", "classifier_dropout"):
            assert getattr(student.config, name) == getattr(teacher.config, name)
        assert student.config.attention_probs_dropout_prob == teacher.config.attention_probs_dropout_prob
        assert student.config.pad_token_id == trimmed.pad_token_id
        assert student.config.bos_token_id == trimmed.bos_token_id
        assert student.config.eos_token_id == trimmed.eos_token_id
    assert teacher.config.num_hidden_layers == LAYERS and teacher.config.vocab_size == len(tokenizer) + 3


def test_the_teacher_stays_untouched(pair: Pair) -> None:
    teacher, tokenizer = pair
    before, config = copy.deepcopy(teacher.state_dict()), teacher.config.to_dict()
    students: list[Any] = [
        make_student(teacher, tokenizer, layers=LAYERS, vocabulary="full")[0],
        make_student(teacher, tokenizer, texts=SOME)[0],
        make_student(teacher, tokenizer, texts=SOME, embedding_size=8)[0],
        make_bilstm_student(teacher, tokenizer, SOME, embedding_size=8, hidden_size=4)[0],
    ]
    storages = {tensor.untyped_storage().data_ptr() for tensor in teacher.state_dict().values()}
    for student in students:
        assert storages.isdisjoint(t.untyped_storage().data_ptr() for t in student.state_dict().values())
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.zero_()
        student.config.id2label.clear()
    assert teacher.config.to_dict() == config
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


def test_a_half_precision_teacher_gives_a_float32_student() -> None:
    teacher, tokenizer = make_teacher("bert")
    teacher.bfloat16()
    for size in (None, 8):
        student, _ = make_student(teacher, tokenizer, texts=SOME, embedding_size=size)
        assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
    bilstm, _ = make_bilstm_student(teacher, tokenizer, SOME, embedding_size=8, hidden_size=4)
    assert {parameter.dtype for parameter in bilstm.parameters()} == {torch.float32}


def test_checkpoints_load_where_kdlib_is_unknown(tmp_path: Path) -> None:
    expected = {}
    for kind in KINDS:
        teacher, tokenizer = make_teacher(kind)
        for size in (None, 8):
            student, trimmed = make_student(teacher, tokenizer, texts=SOME, embedding_size=size)
            student.save_pretrained(tmp_path / f"{kind}-{size}")
            trimmed.save_pretrained(tmp_path / f"{kind}-{size}")
            expected[f"{kind}-{size}"] = logits(student, trimmed)
    script = """
import sys, torch
from pathlib import Path
from transformers import AutoModelForSequenceClassification, AutoTokenizer
texts, found = sys.argv[2:], {}
for folder in filter(Path.is_dir, Path(sys.argv[1]).iterdir()):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    found[folder.name] = model(**batch).logits.detach()
assert not any(name.startswith("kdlib") for name in sys.modules)
torch.save(found, Path(sys.argv[1]) / "found.pt")
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path), *SOME], check=True, capture_output=True)
    found = torch.load(tmp_path / "found.pt")
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-6, rtol=0)


# --- narrower embeddings ------------------------------------------------------------------------------------


def centred_tables(model: PreTrainedModel) -> np.ndarray:
    """Word, position and type embeddings of a BERT on each other, each row minus its mean."""
    embeddings: Any = model.base_model.embeddings
    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    table = np.concatenate([getattr(embeddings, name).weight.detach().double().numpy() for name in names])
    return table - table.mean(1, keepdims=True)


@pytest.mark.parametrize("size", [2, 5, 12])
def test_factorised_embeddings_are_the_best_of_their_rank(size: int) -> None:
    teacher, tokenizer = make_teacher("bert")
    student, _ = make_student(teacher, tokenizer, vocabulary="full", embedding_size=size)
    norm = teacher.get_submodule("bert.embeddings.LayerNorm").get_parameter("weight").detach().double().numpy()
    assert isinstance(student, ElectraForSequenceClassification)
    table = centred_tables(teacher)
    embeddings, projection = student.electra.embeddings, student.electra.embeddings_project.weight
    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    narrow = np.concatenate([getattr(embeddings, name).weight.detach().double().numpy() for name in names])
    basis = projection.detach().double().numpy() / norm[:, None] / np.sqrt(WIDTH / size)
    error = np.square(table - narrow @ basis.T).sum()
    tail = np.square(np.linalg.svd(table, compute_uv=False)[size - 1 :]).sum()
    np.testing.assert_allclose(error, tail, rtol=1e-5)
    np.testing.assert_allclose(narrow.mean(1), 0, atol=1e-6)  # so that the narrow layer norm subtracts nothing


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_of_low_rank_lose_nothing(kind: str) -> None:
    teacher, tokenizer = make_teacher(kind)
    embeddings: Any = teacher.base_model.embeddings
    mixing = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():  # rank 5 around different means, which the layer norm takes away again
        for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
            weight = getattr(embeddings, name).weight
            weight.copy_(weight[:, :5] @ mixing + weight[:, 5:6])
    batch = tokenizer(SOME, padding=True, return_tensors="pt")
    mask = batch["attention_mask"].bool()
    for size, same in ((6, True), (5, False)):
        student, trimmed = make_student(teacher, tokenizer, texts=SOME, embedding_size=size)
        assert isinstance(student, ElectraForSequenceClassification)
        new = trimmed(SOME, padding=True, return_tensors="pt")
        with torch.no_grad():
            expected = embeddings(batch["input_ids"])[mask]
            found = student.electra.embeddings_project(student.electra.embeddings(new["input_ids"]))[mask]
        assert torch.allclose(found, expected, atol=1e-4) is same


def test_the_factorised_student_has_the_teachers_head_and_fewer_parameters(pair: Pair) -> None:
    teacher, tokenizer = pair
    wide, _ = make_student(teacher, tokenizer, texts=SOME)
    student, trimmed = make_student(teacher, tokenizer, texts=SOME, embedding_size=4)
    assert student.num_parameters() < wide.num_parameters()
    assert student.get_input_embeddings().get_parameter("weight").shape == (len(trimmed), 4)
    head: Any = student.classifier
    old: Any = teacher
    dense, output = (
        (old.bert.pooler.dense, old.classifier)
        if teacher.config.model_type == "bert"
        else (old.classifier.dense, old.classifier.out_proj)
    )
    assert torch.equal(head.dense.weight, dense.weight) and torch.equal(head.dense.bias, dense.bias)
    assert torch.equal(head.out_proj.weight, output.weight) and torch.equal(head.out_proj.bias, output.bias)
    for i, layer in enumerate((1, 3)):
        assert torch.equal(layer_weights(student, i), layer_weights(teacher, layer))


# --- BiLSTM -------------------------------------------------------------------------------------------------


def bilstm(layers: int = 1) -> tuple[Any, PreTrainedTokenizerFast]:
    """A student of the XLM-R teacher, with larger weights in the classifier, so that texts differ."""
    torch.manual_seed(0)
    teacher, old = make_teacher("xlm-roberta")
    model, tokenizer = make_bilstm_student(teacher, old, TEXTS, embedding_size=8, hidden_size=5, layers=layers)
    torch.nn.init.normal_(model.classifier.weight)
    return model, tokenizer


# fewer neurons


def activations(model: Any, tokenizer: Any, texts: list[str], layer: int) -> torch.Tensor:
    """[tokens, neurons + 1] of one feed-forward block, one text at a time (so without padding), with a last column of ones."""
    rows: list[torch.Tensor] = []
    hook = model.base_model.encoder.layer[layer].output.dense.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0][0]))
    for text in texts:
        logits(model, tokenizer, [text])
    hook.remove()
    a = torch.cat(rows).double()
    return torch.cat([a, torch.ones(len(a), 1, dtype=torch.float64)], 1)


def test_neurons_that_say_nothing_cost_nothing(pair: Pair) -> None:
    """Of the 24 neurons of each block 12 never fire and 4 always say the same: the other eight are the whole teacher."""
    teacher, tokenizer = pair
    silent, constant = torch.arange(1, 24, 2), torch.arange(0, 24, 6)
    with torch.no_grad():
        for layer in teacher.base_model.encoder.layer:
            into = layer.intermediate.dense
            into.bias[silent], into.weight[constant] = -1000.0, 0.0
    student, own = make_student(teacher, tokenizer, LAYERS, texts=TEXTS, intermediate_size=8)
    assert student.config.intermediate_size == 8
    torch.testing.assert_close(logits(student, own, TEXTS), logits(teacher, tokenizer, TEXTS), rtol=0, atol=2e-3)


@torch.no_grad()
def test_the_neuron_left_out_is_the_cheapest_and_the_rest_is_refitted(pair: Pair) -> None:
    """Of 24 neurons 23 are kept: as cheap as the best way that trying each, with a least-squares solver, finds."""
    teacher, tokenizer = pair
    student = copy.deepcopy(teacher)
    prune_feed_forward(student, tokenizer, TEXTS, 23)
    for i, layer in enumerate(teacher.base_model.encoder.layer):
        a, out = activations(teacher, tokenizer, TEXTS, i), layer.output.dense
        target = a @ torch.cat([out.weight, out.bias[:, None]], 1).double().T
        errors = []
        for left_out in range(24):
            others = [j for j in range(25) if j != left_out]
            errors.append(float((a[:, others] @ torch.linalg.lstsq(a[:, others], target).solution - target).square().sum()))
        pruned = student.base_model.encoder.layer[i]
        rows = [row.tolist() for row in layer.intermediate.dense.weight]
        kept = [rows.index(row.tolist()) for row in pruned.intermediate.dense.weight]
        assert kept == sorted(set(kept)) and len(kept) == 23
        (left_out,) = set(range(24)) - set(kept)
        said = a[:, kept] @ pruned.output.dense.weight.double().T + pruned.output.dense.bias
        noise = 1e-8 * float(target.square().sum())
        assert errors[left_out] <= min(errors) + noise
        assert float((said - target).square().sum()) <= 1.01 * min(errors) + noise


def test_a_pruned_student_is_a_plain_checkpoint(pair: Pair, tmp_path: Path) -> None:
    teacher, tokenizer = pair
    student, own = make_student(teacher, tokenizer, 2, texts=TEXTS, intermediate_size=8, vocabulary_size=60)
    for part in (student, own):
        part.save_pretrained(tmp_path)
    loaded: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits(loaded, AutoTokenizer.from_pretrained(tmp_path)), logits(student, own))
    assert len(own) == 60 == loaded.config.vocab_size
    assert loaded.base_model.encoder.layer[1].output.dense.weight.shape == (WIDTH, 8)
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_padding_takes_no_part_in_pruning(pair: Pair) -> None:
    """The same texts, one of them far longer than the others: what is padded does not count among the tokens."""
    teacher, tokenizer = pair
    texts = [*TEXTS, " ".join(TEXTS[:4])]
    one, other = copy.deepcopy(teacher), copy.deepcopy(teacher)
    prune_feed_forward(one, tokenizer, texts, 20)
    for parameter in other.base_model.embeddings.word_embeddings.parameters():
        parameter.data[tokenizer.pad_token_id] = 5.0
    prune_feed_forward(other, tokenizer, texts, 20)
    for a, b in zip(one.base_model.encoder.parameters(), other.base_model.encoder.parameters(), strict=True):
        torch.testing.assert_close(a, b)



@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_never_changes_a_bilstm(layers: int, side: str) -> None:
    model, tokenizer = bilstm(layers)
    tokenizer.padding_side = side
    alone = torch.cat([logits(model, tokenizer, [text]) for text in TEXTS])
    torch.testing.assert_close(logits(model, tokenizer, TEXTS), alone, atol=1e-6, rtol=0)
    longer = tokenizer(TEXTS, padding="max_length", max_length=60, return_tensors="pt")
    longer["input_ids"][longer["attention_mask"] == 0] = 7  # whatever stands there
    torch.testing.assert_close(model(**longer).logits, alone, atol=1e-6, rtol=0)
    assert alone.std(0).min() > 0.01


def test_a_bilstm_takes_the_maximum_over_the_tokens() -> None:
    model, tokenizer = bilstm()
    batch = tokenizer(TEXTS[:1], return_tensors="pt")
    states, _ = model.lstm(model.embeddings(batch["input_ids"]))
    torch.testing.assert_close(model(**batch).logits, model.classifier(states.amax(1)))
    torch.testing.assert_close(model(batch["input_ids"]).logits, model(**batch).logits)  # no mask: no padding


def test_the_embeddings_of_a_bilstm_are_the_best_of_their_rank() -> None:
    teacher, tokenizer = make_teacher("xlm-roberta")
    student, trimmed = make_bilstm_student(teacher, tokenizer, SOME, embedding_size=6, hidden_size=4)
    weight = teacher.get_input_embeddings().get_parameter("weight").detach().double().numpy()
    kept = tokenizer.convert_tokens_to_ids(trimmed.convert_ids_to_tokens(list(range(len(trimmed)))))
    left, sizes, _ = np.linalg.svd(weight[kept], full_matrices=False)
    best = left[:, :6] * sizes[:6]
    found = student.embeddings.weight.detach().double().numpy()
    np.testing.assert_allclose(np.square(found).mean(), 1, rtol=1e-5)
    assert (np.diff(np.square(found).sum(0)) < 0).all()  # the first direction is the largest
    best /= np.sqrt(np.square(best).mean())
    np.testing.assert_allclose(found @ found.T, best @ best.T, atol=1e-4)  # equal up to the signs of directions


def test_a_bilstm_has_the_teachers_labels_and_learns() -> None:
    model, tokenizer = bilstm()
    assert model.config.id2label == {0: "bad", 1: "fair", 2: "good"} and model.config.dropout == 0.3
    assert model.config.problem_type == "single_label_classification"
    labels = torch.tensor([0, 1, 2])
    batch = tokenizer(TEXTS[:3], padding=True, return_tensors="pt", return_token_type_ids=True)
    output = model(**batch, labels=labels)
    expected = torch.nn.functional.cross_entropy(output.logits, labels)
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_bilstm_round_trip(tmp_path: Path) -> None:
    model, tokenizer = bilstm(layers=2)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(again) is type(model) and not again.training
    assert {**again.config.to_dict(), "_name_or_path": ""} == model.config.to_dict()
    loaded: Any = AutoTokenizer.from_pretrained(tmp_path)
    assert torch.equal(logits(again, loaded, TEXTS), logits(model, tokenizer, TEXTS))


def test_a_bilstm_follows_the_seed() -> None:
    first, second = (bilstm()[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [0, 5, -1, [], [0, 4], [-1], [1, 1], [3, 1]])
def test_layers_that_the_teacher_does_not_have(layers: Any) -> None:
    with pytest.raises(InputError, match="the teacher has 4 layers, 0 to 3"):
        make_student(*make_teacher("bert"), layers=layers, vocabulary="full")


def test_arguments_that_do_not_fit() -> None:
    teacher, tokenizer = make_teacher("bert")
    with pytest.raises(InputError, match='give "trim" together with texts=…, or "full"'):
        make_student(teacher, tokenizer)
    wrong: Any = "small"
    with pytest.raises(InputError, match="vocabulary is 'small'"):
        make_student(teacher, tokenizer, vocabulary=wrong, texts=TEXTS)
    for size in (1, WIDTH):
        with pytest.raises(InputError, match=f"embedding_size is {size}: give 2 to {WIDTH - 1}"):
            make_student(teacher, tokenizer, texts=TEXTS, embedding_size=size)
    for size in (0, 25):
        with pytest.raises(InputError, match=f"intermediate_size is {size}: give 1 to 24, together with texts=…"):
            make_student(teacher, tokenizer, texts=TEXTS, intermediate_size=size)
    with pytest.raises(InputError, match="intermediate_size is 8: give 1 to 24, together with texts"):
        make_student(teacher, tokenizer, vocabulary="full", intermediate_size=8)
    with pytest.raises(InputError, match="max_size is 2: give at least"):
        make_student(teacher, tokenizer, texts=TEXTS, vocabulary_size=2)
    for size in (0, WIDTH + 1):
        with pytest.raises(InputError, match=f"embedding_size is {size}: give 1 to {WIDTH}"):
            make_bilstm_student(teacher, tokenizer, TEXTS, embedding_size=size)


def test_a_tokenizer_of_another_model() -> None:
    teacher, _ = make_teacher("bert")
    other = copy.deepcopy(KINDS["bert"][2])
    other.add_tokens([f"word{i}" for i in range(50)])
    with pytest.raises(InputError, match="load both from the same checkpoint"):
        make_student(teacher, other, texts=TEXTS)
    with pytest.raises(InputError, match="load both from the same checkpoint"):
        make_bilstm_student(teacher, other, TEXTS, embedding_size=8)


def test_teachers_that_are_not_supported() -> None:
    tokenizer = KINDS["bert"][2]
    distilbert = DistilBertForSequenceClassification(DistilBertConfig(dim=8, n_layers=1, n_heads=1, hidden_dim=8))
    encoder: Any = make_teacher("bert")[0].base_model
    nothing: Any = "bert-base"
    for teacher in (distilbert, encoder, nothing):
        with pytest.raises(InputError, match=f"cut out of a {type(teacher).__name__}: .* bert, camembert, roberta"):
            make_student(teacher, tokenizer, texts=TEXTS)
