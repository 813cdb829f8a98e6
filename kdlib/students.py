"""Students cut out of their teacher: fewer layers, a trimmed vocabulary, narrower embeddings; or a BiLSTM.

A student of `make_student` is a plain `transformers` checkpoint. One of `make_bilstm_student` is the only
kind that needs kdlib: it loads with `AutoModelForSequenceClassification` after ``import kdlib.students``.
"""

import copy
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from scipy.linalg import eigh, helmert
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedTokenizerFast
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.models.electra import ElectraConfig, ElectraForSequenceClassification

from .errors import require
from .vocabulary import trim_vocabulary

SUPPORTED = ("bert", "camembert", "roberta", "xlm-roberta")


def make_student(teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, layers: int | Sequence[int] = 2,
                 vocabulary: Literal["trim", "full"] = "trim", texts: Iterable[str] | None = None,
                 embedding_size: int | None = None, intermediate_size: int | None = None,
                 vocabulary_size: int | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:  # fmt: skip
    """A smaller model that starts from its teacher's weights, and its tokenizer; the teacher stays as it is.

    Everything is copied: the kept rows of the token embeddings, position and type embeddings, the chosen
    layers, the pooler and the classification head, with the teacher's labels and dropout. So a student with
    all layers gives the teacher's logits; with a trimmed vocabulary it does so on each of ``texts``.

    Args:
        teacher: a sequence classifier of the BERT family (`SUPPORTED`); a token classifier or question answerer, too, where
            embeddings and neurons stay as they are.
        tokenizer: the teacher's.
        layers: how many of the teacher's n layers to keep. k keeps the last layer of each of k equal blocks,
            ⌊(i + 1) n / k⌋ − 1 for i = 0 … k − 1: of 12, k = 1 keeps (11,), k = 2 keeps (5, 11), k = 3 keeps
            (3, 7, 11), k = 6 every other one. Or the layers themselves, counted from 0, ascending.
        vocabulary: ``"trim"`` keeps the pieces that ``texts`` need, see `kdlib.vocabulary.trim_vocabulary`;
            ``"full"`` keeps the tokenizer and all rows.
        texts: the texts that the student will see in training, for ``"trim"`` and ``intermediate_size``.
        embedding_size: a width of the embeddings below the hidden size, see `factorise_embeddings`.
        intermediate_size: how many neurons of each feed-forward block to keep, see `prune_feed_forward`; it is
            judged on 256 of ``texts``, spread evenly over them, and so needs them.
        vocabulary_size: the most pieces of a trimmed vocabulary; rarer ones fall back to shorter pieces.

    Returns:
        The student, of the teacher's class or with ``embedding_size`` an ELECTRA classifier, in evaluation
        mode, float32, on the CPU; and its tokenizer.

    Raises:
        InputError: a teacher of another kind; layers that it does not have; ``"trim"`` without texts or with
            a tokenizer that cannot be trimmed; a tokenizer of another model; a size out of range.

    Source:
        Sanh et al. (2019), "DistilBERT", section 2: a student that starts from layers of its teacher. Sun et
        al. (2019), "Patient Knowledge Distillation", section 3: one layer in every n / k (there to learn from, here to copy).
    """
    kind, name = getattr(getattr(teacher, "config", None), "model_type", None), type(teacher).__name__
    whole = name.endswith("ForSequenceClassification")
    fits = kind in SUPPORTED and (whole or (name.endswith(("ForTokenClassification", "ForQuestionAnswering")) and not (embedding_size or intermediate_size)))
    require(fits, f"No student can be cut out of a {name}: give a sequence classifier of type {', '.join(SUPPORTED)}"
                  " (or, without embedding_size and intermediate_size, a token classifier or question answerer).")  # fmt: skip
    given = vocabulary == "full" or (vocabulary == "trim" and texts is not None)
    require(given, f'vocabulary is {vocabulary!r}: give "trim" together with texts=…, or "full".')
    width, calibration = getattr(teacher.config, "intermediate_size", 0), None if texts is None else list(texts)
    fewer = intermediate_size is None or (calibration and 1 <= intermediate_size <= width)
    require(fewer, f"intermediate_size is {intermediate_size}: give 1 to {width}, together with texts=….")
    narrower = embedding_size is None or 2 <= embedding_size < teacher.config.hidden_size
    require(narrower, f"embedding_size is {embedding_size}: give 2 to {teacher.config.hidden_size - 1}.")
    chosen = choose_layers(layers, teacher.config.num_hidden_layers)
    tokenizer, kept = trim_for(teacher, tokenizer, calibration if vocabulary == "trim" else None, vocabulary_size)

    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers, config.vocab_size = len(chosen), len(kept)
    config.update({name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")})
    # RoBERTa counts positions from pad_token_id + 1, so that its position embeddings move with that id.
    shift = 0 if kind == "bert" else config.pad_token_id - teacher.config.pad_token_id

    student, old = type(teacher)(config), teacher.state_dict()
    state = {name: old[re.sub(r"(?<=encoder\.layer\.)\d+", lambda i: str(chosen[int(i[0])]), name)] for name in student.state_dict()}
    embeddings = f"{teacher.base_model_prefix}.embeddings."
    state[embeddings + "word_embeddings.weight"] = old[embeddings + "word_embeddings.weight"][kept]
    state[embeddings + "position_embeddings.weight"] = old[embeddings + "position_embeddings.weight"].roll(shift, 0)
    student.load_state_dict(state)
    if intermediate_size and calibration:
        prune_feed_forward(student.eval(), tokenizer, calibration[:: -(-len(calibration) // 256)], intermediate_size)
    return (factorise_embeddings(student, embedding_size) if embedding_size else student).eval(), tokenizer


def choose_layers(layers: int | Sequence[int], n: int) -> list[int]:
    """The layers to keep of n, as in `make_student`; raises ``InputError``."""
    chosen = [(i + 1) * n // layers - 1 for i in range(layers)] if isinstance(layers, int) else list(layers)
    fits, remedy = chosen and chosen == sorted(set(chosen) & set(range(n))), "give how many or, ascending, which"
    require(fits, f"layers is {layers}, but the teacher has {n} layers, 0 to {n - 1}: {remedy}.")
    return chosen


def trim_for(teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerFast,
             texts: Iterable[str] | None, size: int | None = None) -> tuple[PreTrainedTokenizerFast, list[int]]:  # fmt: skip
    """The tokenizer, trimmed to ``texts`` unless None and to ``size`` pieces, and the rows of the teacher's embeddings it needs."""
    pieces, rows = len(tokenizer), len(teacher.get_input_embeddings().get_parameter("weight"))
    require(pieces <= rows, f"The tokenizer has {pieces} pieces, the teacher {rows}: load both from the same checkpoint.")
    return (tokenizer, list(range(rows))) if texts is None else trim_vocabulary(tokenizer, texts, max_size=size)


def principal_directions(tables: Sequence[Tensor], size: int) -> Tensor:
    r"""The first ``size`` right singular vectors, columns of [H, size], of the tables [n, H] stacked.

    .. math:: E = U \Sigma V^\top, \qquad \lVert E - E V_k V_k^\top \rVert_F^2 = \sum_{j > k} \sigma_j^2

    E V_k are the coordinates of the rows. No other matrix of rank k comes closer to E (Eckart and Young,
    1936). V are the eigenvectors of EᵀE, which is small however many rows there are.
    """
    gram = torch.stack([table.T @ table for table in tables]).sum(0)
    _, vectors = eigh(gram.numpy(), subset_by_index=[len(gram) - size, len(gram) - 1])  # ascending
    return torch.from_numpy(vectors).flip(1)


@torch.no_grad()
def factorise_embeddings(model: Any, size: int) -> ElectraForSequenceClassification:
    r"""The BERT-family classifier as an ELECTRA classifier, with embeddings of width k = ``size`` and not H.

    With x the sum of a token's word, position and type embeddings, the first layer of BERT reads

    .. math:: \mathrm{LN}(x) = \sqrt{H} \; g \odot x_c / \lVert x_c \rVert + \beta, \qquad x_c = x - \bar{x}

    and that of ELECTRA W LN'(a) + b, where a has width k. Let V be the k − 1 first principal directions of
    all centred embeddings together, and R [k − 1, k] have orthonormal rows that sum to 0 (Helmert's matrix).
    Then a = x_c V R has mean 0 and the length of x_c V. With an LN' without weights of its own,
    W = √(H/k) diag(g) V R, and b = β:

    .. math:: W \mathrm{LN}'(a) + b = \sqrt{H} \; g \odot (x_c V V^\top) / \lVert x_c V V^\top \rVert + \beta

    Exact (up to ``layer_norm_eps``) is therefore the layer norm of the best approximation of rank k − 1, and
    all of it where the centred embeddings have no higher rank; the layers are copies. Only an initialisation,
    to be trained, is the head: it has the pooler's and the classifier's weights, but a GELU where BERT and
    RoBERTa have a tanh. Dropout of the embeddings comes before W.

    Source:
        Lan et al. (2020), "ALBERT", section 3.1 (factorised embeddings); Clark et al. (2020), "ELECTRA".
    """
    config, bert = model.config, model.config.model_type == "bert"
    base, classifier, old = model.base_model, model.classifier, model.base_model.embeddings
    positions = old.position_embeddings.weight[0 if bert else config.pad_token_id + 1 :]
    tables = [old.word_embeddings.weight, positions, old.token_type_embeddings.weight]
    tables = [table.double() - table.double().mean(1, keepdim=True) for table in tables]
    basis = principal_directions(tables, size - 1) @ torch.from_numpy(helmert(size))

    changed = {"model_type": "electra", "embedding_size": size, "max_position_embeddings": len(positions)}
    student = ElectraForSequenceClassification(ElectraConfig(**config.to_dict() | changed))
    new, project, head = student.electra.embeddings, student.electra.embeddings_project, student.classifier
    for layer, table in zip((new.word_embeddings, new.position_embeddings, new.token_type_embeddings), tables, strict=True):
        layer.weight.copy_(table @ basis)
    project.weight.copy_((config.hidden_size / size) ** 0.5 * old.LayerNorm.weight[:, None] * basis)
    project.bias.copy_(old.LayerNorm.bias)
    student.electra.encoder.load_state_dict(base.encoder.state_dict())
    head.dense.load_state_dict((base.pooler if bert else classifier).dense.state_dict())
    head.out_proj.load_state_dict((classifier if bert else classifier.out_proj).state_dict())
    return student


@torch.no_grad()
def prune_feed_forward(model: Any, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], size: int) -> None:
    r"""Keep ``size`` neurons of each feed-forward block, in place, and refit what follows them.

    A block computes W a with the activations a of its n neurons and a last 1 for the bias. With C the mean of
    a aᵀ over the tokens of ``texts``, the neurons S alone come closest to it, in mean square, with the weights

    .. math:: W_S = W \, C_{:,S} \, C_{S,S}^{-1}

    and leaving out neuron j of S as well adds ‖w_j‖² / (C_{S,S}⁻¹)_jj to the error, w_j being its column of W_S.
    The cheapest quarter goes at a time, until ``size`` are left. What the others can say in its place costs nothing.

    Source: Hassibi and Stork (1993), "Optimal Brain Surgeon" (the cost of leaving out one); He, Zhang and Sun
    (2017), "Channel Pruning for Accelerating Very Deep Neural Networks", section 3.1 (refitting by least squares).
    """
    layers = model.base_model.encoder.layer
    moments: dict[Any, Any] = {}

    def add(block: Any, inputs: tuple[Tensor]) -> None:
        a = torch.nn.functional.pad(inputs[0][batch["attention_mask"].bool()], (0, 1), value=1.0).double()
        moments[block] = moments.get(block, 0) + a.T @ a

    hooks = [layer.output.dense.register_forward_pre_hook(add) for layer in layers]
    for start in range(0, len(texts), 32):
        batch = tokenizer(list(texts[start : start + 32]), truncation=True, max_length=128, padding=True, return_tensors="pt")
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    for layer, hook in zip(layers, hooks, strict=True):
        hook.remove()
        into, out = layer.intermediate.dense, layer.output.dense
        c, whole = moments[out], torch.cat([out.weight, out.bias[:, None]], 1).double()
        c.diagonal().add_(1e-9 * c.diagonal().mean())  # an inverse also where neurons repeat each other
        kept = torch.arange(len(c))  # the last one is the bias
        while True:
            inverse = torch.linalg.inv(c[kept][:, kept])
            weights = whole @ c[:, kept] @ inverse
            if len(kept) == size + 1:
                break
            cost = (weights.square().sum(0) / inverse.diagonal())[:-1]
            best = cost.argsort(descending=True, stable=True)[: max(size, 3 * len(cost) // 4)].sort().values
            kept = torch.cat([kept[best], kept[-1:]])
        into.weight, into.bias = (nn.Parameter(old[kept[:-1]]) for old in (into.weight, into.bias))
        out.weight, out.bias = (nn.Parameter(new.float().contiguous()) for new in (weights[:, :-1], weights[:, -1]))
        into.out_features = out.in_features = size
    model.config.intermediate_size = size


class BiLSTMConfig(PreTrainedConfig):
    """Configuration of `BiLSTMForSequenceClassification`; ``hidden_size`` is that of one direction."""

    model_type = "kdlib-bilstm"

    vocab_size: int = 30522
    embedding_size: int = 128
    hidden_size: int = 128
    num_hidden_layers: int = 1
    dropout: float | int = 0.1
    pad_token_id: int | None = 0


class BiLSTMForSequenceClassification(PreTrainedModel):
    """Embeddings, a bidirectional LSTM, the maximum over the tokens, a linear layer; padding changes nothing.

    Source: Tang et al. (2019), "Distilling Task-Specific Knowledge from BERT into Simple Neural Networks",
    section 3; max pooling as in Conneau et al. (2017), "InferSent", section 3.2.
    """

    config_class = BiLSTMConfig
    _input_embed_layer = "embeddings"

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_token_id)
        self.lstm = nn.LSTM(config.embedding_size, config.hidden_size, config.num_hidden_layers, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(2 * config.hidden_size, config.num_labels)  # type: ignore[arg-type]
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None,
                **kwargs: Any) -> SequenceClassifierOutput:  # fmt: skip
        """``input_ids`` and ``attention_mask`` [B, S], padded on either side; logits [B, K]."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        # The tokens in their order, then padding.
        vectors = self.dropout(self.embeddings(input_ids.gather(1, mask.argsort(dim=1, descending=True, stable=True))))
        packed = pack_padded_sequence(vectors, mask.sum(1).clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, padding_value=float("-inf"))
        logits = self.classifier(self.dropout(states.max(1).values))
        loss = None if labels is None else self.loss_function(labels, logits, self.config, **kwargs)
        return SequenceClassifierOutput(loss=loss, logits=logits)


AutoConfig.register(BiLSTMConfig.model_type, BiLSTMConfig, exist_ok=True)
AutoModelForSequenceClassification.register(BiLSTMConfig, BiLSTMForSequenceClassification, exist_ok=True)


@torch.no_grad()
def make_bilstm_student(teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Iterable[str],
                        embedding_size: int = 128, hidden_size: int = 128,
                        layers: int = 1) -> tuple[BiLSTMForSequenceClassification, PreTrainedTokenizerFast]:  # fmt: skip
    """A bidirectional LSTM with the teacher's labels and dropout, and the tokenizer trimmed to ``texts``.

    Its embeddings are the teacher's, of the kept pieces, in their ``embedding_size`` first principal
    directions (the best approximation of that rank), scaled to a root mean square of 1, as no layer norm
    follows. All else is random: seed it with ``transformers.set_seed``. Any teacher with token embeddings
    will do.

    Raises ``InputError``: ``embedding_size`` above the teacher's; a tokenizer that cannot be trimmed.
    """
    table = teacher.get_input_embeddings().get_parameter("weight")
    require(1 <= embedding_size <= table.shape[1], f"embedding_size is {embedding_size}: give 1 to {table.shape[1]}, the teacher's.")
    tokenizer, kept = trim_for(teacher, tokenizer, texts)
    rows = table[kept].double().cpu()
    coordinates = rows @ principal_directions([rows], embedding_size)
    config = BiLSTMConfig(vocab_size=len(kept), embedding_size=embedding_size, hidden_size=hidden_size, num_hidden_layers=layers,
                          dropout=getattr(teacher.config, "hidden_dropout_prob", 0.1), pad_token_id=tokenizer.pad_token_id,
                          **{name: getattr(teacher.config, name) for name in ("id2label", "label2id", "problem_type")})  # fmt: skip
    student = BiLSTMForSequenceClassification(config)
    student.embeddings.weight.copy_(coordinates / coordinates.square().mean().sqrt())
    return student.eval(), tokenizer
