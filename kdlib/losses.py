"""Distillation losses: pure functions that take tensors and masks and return one scalar.

- The teacher's tensors are constants: no gradient ever reaches the teacher.
- A mask is 1 where a position counts and 0 at padding. What stands at padding, even inf or nan, changes
  neither the value nor the gradient. A loss over no position at all is 0.
- Half precision is computed in float32, also under autocast; float64 stays (the student's type decides).
- "..." is any leading shape: [B, K] for the logits of sentences, [B, S, K] for those of tokens.
- Bad arguments raise `kdlib.errors.InputError`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlib.errors import require

Mask = Tensor | None  # None: every position counts
Layers = Sequence[Tensor]
LayerMap = Sequence[tuple[int, int]]


def _require_same(student: Tensor, teacher: Tensor, dim: int, what: str, remedy: str) -> None:
    s, t = student.shape[dim], teacher.shape[dim]
    require(s == t, f"the student has {s} {what} and the teacher {t}: {remedy}.")


def _prepare(student: Tensor, teacher: Tensor, mask: Mask) -> tuple[Tensor, Tensor, Tensor]:
    """Upcast both, detach the teacher, put zeros at masked positions; the mask as booleans, without one all are valid."""
    s, t = student.shape[:-1], teacher.shape[:-1]
    require(s == t, f"the student's positions are {[*s]}, the teacher's {[*t]}: run both on one batch.")
    valid = torch.ones(s, dtype=torch.bool, device=student.device) if mask is None else mask.bool()
    require(valid.shape == s, f"mask has shape {[*valid.shape]} but needs {[*s]}: one 0 or 1 each.")
    keep, dtype = valid.unsqueeze(-1), torch.promote_types(student.dtype, torch.float32)
    # Select before any nonlinearity: 0 * nan is nan, in the gradient too.
    return torch.where(keep, student.to(dtype), 0.0), torch.where(keep, teacher.detach().to(dtype), 0.0), valid


def _logits(student: Tensor, teacher: Tensor, mask: Mask, temperature: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """`_prepare` for logits, which are divided by the temperature."""
    require(0 < temperature < math.inf, f"temperature is {temperature} but must be above 0: try 1 to 10.")
    _require_same(student, teacher, -1, "classes", "give both the same label names in the same order")
    student, teacher, valid = _prepare(student, teacher, mask)
    return student / temperature, teacher / temperature, valid


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid, values, 0.0).sum() / valid.sum().clamp(min=1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return F.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)


def _layer_pairs(student: Layers, teacher: Layers, layer_map: LayerMap) -> list[tuple[Tensor, Tensor]]:
    """The (student, teacher) tensors that layer_map names."""
    require(student and teacher, "no layers: set output_hidden_states, or output_attentions with attn_implementation='eager'.")
    require(layer_map, "layer_map is empty: name at least one pair (student index, teacher index).")
    for s, t in layer_map:
        for name, index, n in (("student", s, len(student)), ("teacher", t, len(teacher))):
            require(-n <= index < n, f"layer_map has {name} index {index}: take one from 0 to {n - 1}.")
    return [(student[s], teacher[t]) for s, t in layer_map]


def soft_target_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, mask: Mask = None) -> Tensor:
    """Kullback-Leibler divergence of the student's softened distribution from the teacher's, times T².

    L = T²/N Σ_n Σ_k p log(p/q), with p = softmax(teacher/T), q = softmax(student/T) and N valid positions;
    nats·T². Its gradient T (q - p)/N keeps its size as T grows: L then tends to ‖d‖²/(2K) per position, where
    d is the difference of the centred logits. In float32 the value (not the gradient) is rounded by about
    1e-7·T².

    Shapes: logits [..., K], mask [...].
    Raises InputError: temperature not above 0, different numbers of classes, shapes that do not match.
    Source: Hinton, Vinyals, Dean (2015), "Distilling the Knowledge in a Neural Network", §2 and (T → ∞) §2.1.
    """
    student, teacher, valid = _logits(student_logits, teacher_logits, mask, temperature)
    return temperature**2 * _mean(_kl(teacher.log_softmax(-1), student.log_softmax(-1)), valid)


def soft_cross_entropy(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, mask: Mask = None) -> Tensor:
    """Cross entropy of the student's softened distribution under the teacher's, times T².

    L = -T²/N Σ_n Σ_k p log q: `soft_target_loss` plus T² times the teacher's mean entropy, so with the same
    gradient but not 0 for a perfect student; nats·T². As T → 0, L/T² tends to the cross entropy of
    softmax(student/T) with the teacher's most likely class.

    Shapes: logits [..., K], mask [...].
    Raises InputError: temperature not above 0, different numbers of classes, shapes that do not match.
    Source: Hinton, Vinyals, Dean (2015), "Distilling the Knowledge in a Neural Network", §2.
    """
    student, teacher, valid = _logits(student_logits, teacher_logits, mask, temperature)
    return temperature**2 * _mean(-(teacher.softmax(-1) * student.log_softmax(-1)).sum(-1), valid)


def logit_mse(student_logits: Tensor, teacher_logits: Tensor, mask: Mask = None) -> Tensor:
    """Mean squared difference of the logits.

    L = 1/(NK) Σ_n Σ_k (student - teacher)², over N valid positions. It sees a constant added to all logits of
    a row, which no softmax does. For centred logits it is twice the limit of `soft_target_loss` for T → ∞.

    Shapes: logits [..., K], mask [...].
    Raises InputError: different numbers of classes, shapes that do not match.
    Source: Ba, Caruana (2014), "Do Deep Nets Really Need to be Deep?", §2.2 (½ Σ over classes).
    """
    student, teacher, valid = _logits(student_logits, teacher_logits, mask)
    return _mean((student - teacher).square().mean(-1), valid)


def hard_target_loss(student_logits: Tensor, labels: Tensor, mask: Mask = None) -> Tensor:
    """Cross entropy with the labels: summed over the labelled rows, divided by the number of all rows.

    L = -1/N Σ_{n: label ≥ 0} log softmax(student_n)[label_n], in nats. A row with a negative label adds 0 but
    counts in N, so that the mean over equal micro-batches is the loss of the whole batch. For token labels
    pass the mask too: padding then does not count in N.

    Shapes: logits [..., K], labels [...] below K, mask [...].
    Raises InputError: labels or a mask of another shape than the rows.
    """
    has, needs = labels.shape, student_logits.shape[:-1]
    require(has == needs, f"labels have shape {[*has]} but need {[*needs]}: pass one a row, -1 for none.")
    logits, _, valid = _prepare(student_logits, student_logits, mask)
    targets = torch.where(valid & (labels >= 0), labels.long(), -100)  # -100: what cross_entropy leaves out
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="sum") / valid.sum().clamp(min=1)


def distillation_loss(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float = 2.0,
                      alpha: float = 0.7, objective: Literal["kl", "ce", "mse"] = "kl", mask: Mask = None) -> Tensor:  # fmt: skip
    """Hard and soft loss mixed: L = (1 - alpha) · hard + alpha · soft.

    hard is `hard_target_loss`; soft is `soft_target_loss` ("kl"), `soft_cross_entropy` ("ce") or `logit_mse`
    ("mse", which ignores the temperature). Both are means over all rows; without a label only soft counts.

    Shapes: logits [..., K], labels [...] with a negative number for "no label", mask [...].
    Raises InputError: alpha outside [0, 1], unknown objective, and what the two losses raise.
    Source: Hinton, Vinyals, Dean (2015), "Distilling the Knowledge in a Neural Network", §2.
    """
    require(0 <= alpha <= 1, f"alpha is {alpha} but must lie from 0 (labels only) to 1 (teacher only).")
    require(objective in ("kl", "ce", "mse"), f"objective is {objective!r} but must be 'kl', 'ce' or 'mse'.")
    softened = {"kl": soft_target_loss, "ce": soft_cross_entropy}.get(objective)
    soft = softened(student_logits, teacher_logits, temperature, mask) if softened else logit_mse(student_logits, teacher_logits, mask)
    return (1 - alpha) * hard_target_loss(student_logits, labels, mask) + alpha * soft


def hidden_state_loss(student_hidden: Layers, teacher_hidden: Layers, attention_mask: Tensor, layer_map: LayerMap,
                      projection: Callable[[Tensor], Tensor] | None = None) -> Tensor:  # fmt: skip
    """Mean squared difference of hidden states, the student's optionally projected to the teacher's width.

    L = mean over layer pairs of 1/(NH) Σ_n ‖W student_n - teacher_n‖², over N valid tokens, H the teacher's
    width. TinyBERT adds the layers up; their mean keeps the scale independent of their number.

    Shapes: sequences of hidden states [B, S, H_student] and [B, S, H_teacher] (in `outputs.hidden_states`
    number 0 is the embedding); attention_mask [B, S]; layer_map of pairs (student index, teacher index), -1
    the last one; projection, such as a float32 nn.Linear(H_student, H_teacher), is trained with the student
    and serves all pairs.
    Raises InputError: layer_map empty or out of range, different widths (after projection), shapes that do
    not match.
    Source: Jiao et al. (2020), "TinyBERT", §3.1; Romero et al. (2015), "FitNets", §2.2 (hints and regressor).
    """
    losses = []
    for student, teacher in _layer_pairs(student_hidden, teacher_hidden, layer_map):
        student, teacher, valid = _prepare(student, teacher, attention_mask)
        student = projection(student) if projection else student
        _require_same(student, teacher, -1, "hidden units", "pass a projection, such as torch.nn.Linear")
        losses.append(_mean((student - teacher).square().mean(-1), valid))
    return torch.stack(losses).mean()


def attention_loss(student_attentions: Layers, teacher_attentions: Layers, attention_mask: Tensor, layer_map: LayerMap) -> Tensor:
    """Mean squared difference of attention probabilities over pairs of valid tokens.

    L = mean over layer pairs of 1/(AP) Σ_heads Σ_(query, key) (student - teacher)², over A heads and the P
    pairs of two valid tokens. It compares probabilities, which is what `output_attentions=True` returns;
    TinyBERT has the same formula for the scores before the softmax, which transformers does not return.

    Shapes: sequences of attentions [B, A, S, S]; attention_mask [B, S]; layer_map as in `hidden_state_loss`.
    Raises InputError: layer_map empty or out of range, different numbers of heads, shapes that do not match.
    Source: Jiao et al. (2020), "TinyBERT", §3.1.
    """
    losses = []
    for student, teacher in _layer_pairs(student_attentions, teacher_attentions, layer_map):
        _require_same(student, teacher, 1, "attention heads", "use minilm_relation_loss instead")
        pairs = (attention_mask[:, None, :, None] * attention_mask[:, None, None, :]).expand(-1, student.shape[1], -1, -1)
        student, teacher, pairs = _prepare(student.unsqueeze(-1), teacher.unsqueeze(-1), pairs)
        losses.append(_mean((student - teacher).square().squeeze(-1), pairs))
    return torch.stack(losses).mean()


def embedding_cosine_loss(student_embeddings: Tensor, teacher_embeddings: Tensor, attention_mask: Mask = None) -> Tensor:
    """One minus the cosine of the student's and the teacher's embeddings.

    L = 1/N Σ_n (1 - cos(student_n, teacher_n)), over N valid positions; from 0 (parallel) to 2 (opposite).

    Shapes: embeddings [..., H], attention_mask [...].
    Raises InputError: different widths, shapes that do not match.
    Source: Sanh et al. (2019), "DistilBERT", §2 (L_cos).
    """
    _require_same(student_embeddings, teacher_embeddings, -1, "dimensions", "project the student's first")
    student, teacher, valid = _prepare(student_embeddings, teacher_embeddings, attention_mask)
    return _mean(1 - F.cosine_similarity(student, teacher, dim=-1), valid)


def _log_relations(states: Tensor, valid: Tensor, heads: int) -> Tensor:
    """Logarithm of softmax(XXᵀ/√d) over valid keys, [B, S, H] split into heads: [B, A, S, S]."""
    x = states.unflatten(-1, (heads, -1)).transpose(1, 2)
    with torch.autocast(states.device.type, enabled=False):  # autocast would multiply in half precision
        scores = x @ x.transpose(-1, -2) / math.sqrt(x.shape[-1])
    return scores.masked_fill(~valid[:, None, None, :], torch.finfo(scores.dtype).min).log_softmax(-1)


def minilm_relation_loss(student_states: Tensor, teacher_states: Tensor, attention_mask: Tensor, relation_heads: int) -> Tensor:
    """Kullback-Leibler divergence of self-attention relations: which tokens have like queries (keys, values)?

    L = 1/(AN) Σ_heads Σ_n KL(R_teacher ‖ R_student), R = softmax(XXᵀ/√d) over valid keys, for N valid queries
    n; X is the states of all attention heads side by side, split anew into A relation heads of width d = H/A;
    in nats. Widths and attention heads may differ. The paper adds this loss for queries, keys and values:
    call once for each.

    Shapes: states [B, S, H_student] and [B, S, H_teacher], attention_mask [B, S].
    Raises InputError: relation_heads does not divide both widths, shapes that do not match.
    Source: Wang et al. (2021), "MiniLMv2", §3.
    """
    s, t = student_states.shape[-1], teacher_states.shape[-1]
    divides = relation_heads > 0 and s % relation_heads == t % relation_heads == 0
    require(divides, f"relation_heads {relation_heads} must divide {s} and {t}: try {math.gcd(s, t)}.")
    student, teacher, valid = _prepare(student_states, teacher_states, attention_mask)
    log_q, log_p = (_log_relations(states, valid, relation_heads) for states in (student, teacher))
    return _mean(_kl(log_p, log_q).mean(1), valid)
