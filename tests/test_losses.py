"""Properties of the losses, and comparisons with independent computations in NumPy and SciPy (float64)."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine
from scipy.special import log_softmax, rel_entr, softmax
from scipy.stats import entropy
from torch import Tensor

import kdlib.losses as kd
from kdlib.errors import InputError

WIDEN = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(4, 6)
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])
PAIR = [(0, 0)]
JUNK = [0.0, 1e4, math.inf, -math.inf, math.nan]


def widen(x: Tensor) -> Tensor:
    return (x.unsqueeze(-1) * WIDEN.to(x.dtype)).sum(-2)  # no matmul: autocast would run it in half precision


# name: loss of (student, teacher, mask), student's shape, teacher's shape, dimensions that hold tokens
SAME = ((2, 3, 4), (2, 3, 4), (1,))
WIDER = ((2, 3, 4), (2, 3, 6), (1,))
MASKED: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], tuple, tuple, tuple]] = {
    "kl": (lambda s, t, m: kd.soft_target_loss(s, t, 2.0, m), *SAME),
    "ce": (lambda s, t, m: kd.soft_cross_entropy(s, t, 2.0, m), *SAME),
    "mse": (kd.logit_mse, *SAME),
    "hard": (lambda s, t, m: kd.hard_target_loss(s, t.argmax(-1), m), *SAME),
    "mix": (lambda s, t, m: kd.distillation_loss(s, t, t.argmax(-1), mask=m), *SAME),
    "hidden": (lambda s, t, m: kd.hidden_state_loss([s], [t], m, PAIR, widen), *WIDER),
    "attention": (lambda s, t, m: kd.attention_loss([s], [t], m, PAIR), (2, 2, 3, 3), (2, 2, 3, 3), (2, 3)),
    "cosine": (kd.embedding_cosine_loss, *SAME),
    "minilm": (lambda s, t, m: kd.minilm_relation_loss(s, t, m, 2), *WIDER),
}
every_masked_loss = pytest.mark.parametrize("name", MASKED)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(name: str) -> tuple[Tensor, Tensor]:
    return normal(*MASKED[name][1], seed=1), normal(*MASKED[name][2], seed=2)


def value_and_gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    at = at.clone().requires_grad_()
    value = loss(at)
    return value.detach(), torch.autograd.grad(value, at)[0]


def assert_same(a: tuple[Tensor, ...], b: tuple[Tensor, ...], atol: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=atol)


# --- properties of every loss


@every_masked_loss
def test_gradient_is_the_derivative(name: str) -> None:
    student, teacher = inputs(name)
    assert torch.autograd.gradcheck(lambda s: MASKED[name][0](s, teacher, MASK), student.requires_grad_())


@every_masked_loss
@pytest.mark.parametrize("junk", JUNK)
def test_padding_never_changes_a_loss(name: str, junk: float) -> None:
    loss, *_, token_dims = MASKED[name]
    student, teacher = inputs(name)
    value, gradient = value_and_gradient(lambda s: loss(s, teacher, MASK), student)
    assert value > 0

    def pad(x: Tensor, fill: float) -> Tensor:
        """Junk at the masked place, and two more tokens of junk."""
        x = x.clone()
        for dim in token_dims:
            x[1].select(dim - 1, 2).fill_(fill)
            x = torch.cat([x, torch.full_like(x.narrow(dim, 0, 2), fill)], dim)
        return x

    longer = torch.cat([MASK, torch.zeros(2, 2, dtype=torch.long)], 1)
    padded = value_and_gradient(lambda s: loss(s, pad(teacher, junk), longer), pad(student, junk))
    assert_same(padded, (value, pad(gradient, 0.0)))


@every_masked_loss
def test_no_valid_position_gives_zero(name: str) -> None:
    student, teacher = inputs(name)
    value, gradient = value_and_gradient(lambda s: MASKED[name][0](s, teacher, 0 * MASK), student)
    assert value == 0 and not gradient.any()


@every_masked_loss
def test_teacher_gets_no_gradient(name: str) -> None:
    student, teacher = (x.requires_grad_() for x in inputs(name))
    MASKED[name][0](student, teacher, MASK).backward()
    assert teacher.grad is None and student.grad is not None


@every_masked_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    student, teacher = (100 * x.to(dtype) for x in inputs(name))  # their squares overflow float16
    value, gradient = value_and_gradient(lambda s: MASKED[name][0](s, teacher, MASK), student)
    assert value.dtype == torch.float32 and gradient.dtype == dtype and gradient.isfinite().all()
    assert value == MASKED[name][0](student.float(), teacher.float(), MASK)


@every_masked_loss
def test_student_decides_the_precision_even_under_autocast(name: str) -> None:
    student, teacher = inputs(name)
    assert MASKED[name][0](student, teacher.float(), MASK).dtype == torch.float64
    outside = MASKED[name][0](student.float(), teacher, MASK)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = MASKED[name][0](student.float(), teacher, MASK)
    assert inside.dtype == outside.dtype == torch.float32 and inside == outside


@pytest.mark.parametrize("name", ["kl", "mse", "attention", "cosine", "minilm"])
def test_a_perfect_student_has_no_loss_and_no_gradient(name: str) -> None:
    student, _ = inputs(name)
    value, gradient = value_and_gradient(lambda s: MASKED[name][0](s, student, MASK), student)
    assert_same((value, gradient), (torch.zeros_like(value), torch.zeros_like(student)))


# --- soft targets


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_losses_match_scipy(temperature: float) -> None:
    student, teacher = inputs("kl")
    kept = MASK.bool()
    q, p = (softmax(x[kept].numpy() / temperature, -1) for x in (student, teacher))
    kl = temperature**2 * rel_entr(p, q).sum(-1).mean()
    assert float(kd.soft_target_loss(student, teacher, temperature, MASK)) == pytest.approx(kl, rel=1e-12)
    gap = kd.soft_cross_entropy(student, teacher, temperature, MASK) - kl
    assert float(gap) == pytest.approx(temperature**2 * entropy(p, axis=-1).mean(), rel=1e-12)


@pytest.mark.parametrize("loss", [kd.soft_target_loss, kd.soft_cross_entropy])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_gradient_closed_form(loss: Callable[..., Tensor], temperature: float) -> None:
    student, teacher = normal(5, 3, seed=1), normal(5, 3, seed=2)
    _, gradient = value_and_gradient(lambda s: loss(s, teacher, temperature), student)
    q, p = (softmax(x.numpy() / temperature, -1) for x in (student, teacher))
    np.testing.assert_allclose(gradient.numpy(), temperature * (q - p) / 5, atol=1e-14)


def test_high_temperature_limit_is_half_the_centred_squared_difference() -> None:
    student, teacher = normal(5, 3, seed=1), normal(5, 3, seed=2)
    centred = [x - x.mean(-1, keepdim=True) for x in (student, teacher)]
    limit = float((centred[0] - centred[1]).square().sum(-1).mean() / (2 * 3))
    errors = [abs(float(kd.soft_target_loss(student, teacher, T)) - limit) for T in (1e2, 1e3, 1e4)]
    assert errors[2] < 1e-3 * limit and errors[0] > 5 * errors[1] > 25 * errors[2]  # falls like 1/T
    assert float(kd.logit_mse(*centred)) == pytest.approx(2 * limit, rel=1e-12)


def test_low_temperature_limit_is_the_teachers_most_likely_class() -> None:
    student, teacher, temperature = normal(5, 3, seed=1), normal(5, 3, seed=2), 1e-3
    hard = kd.hard_target_loss(student, teacher.argmax(-1))
    # The student's logits are shrunk too, so that softmax(student / T) stays the same on the way to T = 0.
    for loss in (kd.soft_cross_entropy, kd.soft_target_loss):  # the teacher's entropy vanishes
        value = float(loss(temperature * student, teacher, temperature)) / temperature**2
        assert value == pytest.approx(float(hard))


@pytest.mark.parametrize("loss", [kd.soft_target_loss, kd.soft_cross_entropy])
def test_a_constant_added_to_the_logits_of_a_row_changes_nothing(loss: Callable[..., Tensor]) -> None:
    student, teacher, shift = normal(5, 3, seed=1), normal(5, 3, seed=2), normal(5, 1, seed=3)
    assert_same((loss(student + shift, teacher - 2 * shift, 2.0),), (loss(student, teacher, 2.0),))
    assert float(kd.logit_mse(student + 1, student)) == pytest.approx(1)


def test_logit_mse_matches_numpy() -> None:
    student, teacher = inputs("mse")
    expected = np.mean((student[MASK.bool()].numpy() - teacher[MASK.bool()].numpy()) ** 2)
    assert float(kd.logit_mse(student, teacher, MASK)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", [kd.soft_target_loss, kd.soft_cross_entropy, kd.logit_mse])
def test_any_leading_shape(loss: Callable[..., Tensor]) -> None:
    student, teacher = normal(2, 3, 4, seed=1), normal(2, 3, 4, seed=2)
    rows = loss(student.reshape(6, 4), teacher.reshape(6, 4))
    assert_same((loss(student, teacher), loss(student, teacher, mask=MASK**0)), (rows, rows))
    singles = [loss(s, t) for s, t in zip(student.reshape(6, 4), teacher.reshape(6, 4), strict=True)]
    assert_same((torch.stack(singles).mean(),), (rows,))


# --- hard targets and the mixture

LABELS = torch.tensor([0, 2, -1, -100, 1, 1, -1, 0])  # the second of four micro-batches has no label at all


def test_hard_loss_counts_unlabelled_rows_only_in_the_denominator() -> None:
    student = normal(8, 3, seed=1)
    total = -sum(log_softmax(student[i].numpy())[y] for i, y in enumerate(LABELS.tolist()) if y >= 0)
    assert float(kd.hard_target_loss(student, LABELS)) == pytest.approx(total / 8, rel=1e-12)
    masked = kd.hard_target_loss(student, LABELS.int(), LABELS >= 0)
    assert float(masked) == pytest.approx(total / 5, rel=1e-12)
    _, gradient = value_and_gradient(lambda s: kd.hard_target_loss(s, LABELS), student)
    assert not gradient[LABELS < 0].any() and gradient[LABELS >= 0].any(-1).all()
    assert kd.hard_target_loss(student, torch.full((8,), -1)) == 0


@pytest.mark.parametrize("objective", ["kl", "ce", "mse"])
def test_alpha_mixes_hard_and_soft(objective: str) -> None:
    student, teacher = normal(8, 3, seed=1), normal(8, 3, seed=2)
    pure = {"kl": kd.soft_target_loss, "ce": kd.soft_cross_entropy, "mse": kd.logit_mse}[objective]
    soft = pure(student, teacher) if objective == "mse" else pure(student, teacher, 3.0)
    hard = kd.hard_target_loss(student, LABELS)
    for alpha, expected in ((0.0, hard), (1.0, soft), (0.3, 0.7 * hard + 0.3 * soft)):
        assert_same((kd.distillation_loss(student, teacher, LABELS, 3.0, alpha, objective),), (expected,))


def test_unlabelled_rows_learn_from_the_teacher_only() -> None:
    student, teacher = normal(8, 3, seed=1), normal(8, 3, seed=2)
    _, mixed = value_and_gradient(lambda s: kd.distillation_loss(s, teacher, LABELS, 2.0, 0.7), student)
    _, soft = value_and_gradient(lambda s: kd.soft_target_loss(s, teacher, 2.0), student)
    hard = (student.softmax(-1) - torch.eye(3)[LABELS.clamp(min=0)]) / 8
    assert_same((mixed,), (0.7 * soft + 0.3 * hard * (LABELS >= 0)[:, None],))


@pytest.mark.parametrize("objective", ["kl", "ce", "mse"])
def test_mean_over_micro_batches_is_the_whole_batch(objective: str) -> None:
    student, teacher = normal(8, 3, seed=1), normal(8, 3, seed=2)
    parts = [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8)]

    def accumulated(s: Tensor) -> Tensor:
        each = [kd.distillation_loss(s[i], teacher[i], LABELS[i], objective=objective) for i in parts]
        return torch.stack(each).mean()

    def whole(s: Tensor) -> Tensor:
        return kd.distillation_loss(s, teacher, LABELS, objective=objective)

    assert_same(value_and_gradient(accumulated, student), value_and_gradient(whole, student))


# --- features


def test_hidden_state_loss_matches_numpy_and_averages_the_layers() -> None:
    student = [normal(2, 3, 4, seed=i) for i in range(3)]
    teacher = [normal(2, 3, 6, seed=9 + i) for i in range(5)]
    kept = MASK.bool().numpy()

    def one(s: int, t: int) -> float:
        return np.mean((student[s].numpy()[kept] @ WIDEN.numpy() - teacher[t].numpy()[kept]) ** 2)

    value = kd.hidden_state_loss(student, teacher, MASK, [(0, 0), (1, 3), (-1, -1)], widen)
    assert float(value) == pytest.approx((one(0, 0) + one(1, 3) + one(2, 4)) / 3, rel=1e-12)
    assert kd.hidden_state_loss(student, student, MASK, [(1, 1)]) == 0


def test_projection_learns_and_never_sees_padding() -> None:
    student, teacher = inputs("hidden")
    projection = torch.nn.Linear(4, 6).double()
    gradients = []
    for junk in (0.0, math.nan):
        student[1, 2] = junk
        loss = kd.hidden_state_loss([student], [teacher], MASK, PAIR, projection)
        gradients.append(torch.autograd.grad(loss, projection.weight))
    assert gradients[0][0].any()
    assert_same(gradients[0], gradients[1])


def test_attention_loss_matches_a_loop_over_valid_pairs() -> None:
    student, teacher = inputs("attention")
    squares = [
        float(student[b, a, q, k] - teacher[b, a, q, k]) ** 2
        for b, length in enumerate((3, 2))
        for a in range(2)
        for q in range(length)
        for k in range(length)
    ]
    value = kd.attention_loss([student], [teacher], MASK, PAIR)
    assert float(value) == pytest.approx(np.mean(squares), rel=1e-12)
    both = kd.attention_loss([student, teacher], [teacher], MASK, [(0, 0), (1, -1)])
    assert_same((both,), (value / 2,))


def test_cosine_loss_matches_scipy() -> None:
    student, teacher = inputs("cosine")
    kept = MASK.bool()
    expected = np.mean([cosine(s, t) for s, t in zip(student[kept], teacher[kept], strict=True)])
    assert float(kd.embedding_cosine_loss(student, teacher, MASK)) == pytest.approx(expected, rel=1e-12)
    assert float(kd.embedding_cosine_loss(student[0], -3 * student[0])) == pytest.approx(2, rel=1e-12)


def test_minilm_loss_matches_a_loop_over_sentences_and_heads() -> None:
    student, teacher = inputs("minilm")

    def relations(states: Tensor, sentence: int, head: int) -> np.ndarray:
        width = states.shape[-1] // 2
        x = states[sentence, : (3, 2)[sentence], head * width : (head + 1) * width].numpy()
        return softmax(x @ x.T / math.sqrt(width), -1)

    places = [(sentence, head) for sentence in range(2) for head in range(2)]
    total = sum(rel_entr(relations(teacher, *place), relations(student, *place)).sum() for place in places)
    value = kd.minilm_relation_loss(student, teacher, MASK, 2)
    assert float(value) == pytest.approx(total / (2 * 5), rel=1e-12)


def test_minilm_loss_is_blind_to_a_rotation_inside_each_head() -> None:
    student = normal(2, 3, 4, seed=1)
    rotation = torch.linalg.qr(normal(2, 2, seed=4)).Q
    rotated = student @ torch.block_diag(rotation, rotation)
    assert float(kd.minilm_relation_loss(student, rotated, MASK, 2)) == pytest.approx(0, abs=1e-12)
    assert float(kd.minilm_relation_loss(student, rotated, MASK, 4)) > 1e-3


# --- bad input

X, Y, STATES, HEADS = normal(2, 3), torch.tensor([0, 1]), normal(2, 3, 4), [normal(2, 2, 3, 3)]
THREE, WIDE = [normal(2, 3, 3, 3)], normal(2, 3, 6)
BAD: list[tuple[str, Callable[[], Tensor]]] = [
    ("temperature is 0", lambda: kd.soft_target_loss(X, X, 0)),
    ("temperature is -1", lambda: kd.soft_cross_entropy(X, X, -1)),
    ("temperature is nan", lambda: kd.distillation_loss(X, X, Y, math.nan)),
    ("temperature is inf", lambda: kd.soft_target_loss(X, X, math.inf)),
    ("alpha is 1.1", lambda: kd.distillation_loss(X, X, Y, alpha=1.1)),
    ("alpha is -0.1", lambda: kd.distillation_loss(X, X, Y, alpha=-0.1)),
    ("objective is 'js'", lambda: kd.distillation_loss(X, X, Y, objective="js")),  # type: ignore[arg-type]
    ("3 classes and the teacher 4", lambda: kd.soft_target_loss(X, normal(2, 4))),
    ("3 classes and the teacher 2", lambda: kd.soft_cross_entropy(X, normal(2, 2))),
    ("3 classes and the teacher 1", lambda: kd.logit_mse(X, normal(2, 1))),
    (r"positions are \[2\], the teacher's \[1\]", lambda: kd.soft_target_loss(X, normal(1, 3))),
    (r"mask has shape \[2, 3\] but needs \[2\]", lambda: kd.soft_target_loss(X, X, mask=MASK)),
    (r"labels have shape \[1\] but need \[2\]", lambda: kd.hard_target_loss(X, Y[:1])),
    ("student index 2", lambda: kd.hidden_state_loss([STATES] * 2, [STATES] * 4, MASK, [(2, 3)])),
    ("teacher index -5", lambda: kd.hidden_state_loss([STATES] * 2, [STATES] * 4, MASK, [(1, -5)])),
    ("teacher index 1", lambda: kd.attention_loss(HEADS, HEADS, MASK, [(0, 0), (0, 1)])),
    ("layer_map is empty", lambda: kd.hidden_state_loss([STATES], [STATES], MASK, [])),
    ("no layers.*eager", lambda: kd.attention_loss(HEADS, (), MASK, PAIR)),
    ("4 hidden units.*6: pass a proj", lambda: kd.hidden_state_loss([STATES], [WIDE], MASK, PAIR)),
    ("2 attention heads.*minilm_relation_loss", lambda: kd.attention_loss(HEADS, THREE, MASK, PAIR)),
    (r"mask has shape \[2, 2, 2, 2\] but needs \[2, 2, 3, 3\]", lambda: kd.attention_loss(HEADS, HEADS, MASK[:, :2], PAIR)),
    ("4 dimensions and the teacher 6", lambda: kd.embedding_cosine_loss(STATES, WIDE)),
    ("relation_heads 3 .* 4 and 6: try 2", lambda: kd.minilm_relation_loss(STATES, WIDE, MASK, 3)),
    ("relation_heads 0", lambda: kd.minilm_relation_loss(STATES, STATES, MASK, 0)),
]


@pytest.mark.parametrize(("message", "call"), BAD)
def test_bad_input_gets_one_clear_sentence(message: str, call: Callable[[], Tensor]) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
