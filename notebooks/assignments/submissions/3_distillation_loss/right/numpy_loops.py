"""Works in NumPy and SciPy row by row, returns floats and arrays, rounds, and answers question 7 in its own words."""

# %% soft
import numpy as np
from scipy.special import log_softmax, softmax


def soft_loss(student_logits, teacher_logits, temperature):
    losses = []
    for z, v in zip(np.asarray(student_logits, dtype=float), np.asarray(teacher_logits, dtype=float), strict=True):
        log_p, log_q = log_softmax(v / temperature), log_softmax(z / temperature)
        losses.append(sum(np.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True)))
    return temperature**2 * sum(losses) / len(losses)


# %% full
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    hard = 0.0
    for row, label in zip(student_logits.double().numpy(), labels.tolist(), strict=True):
        if label >= 0:
            hard -= log_softmax(row)[label]
    return (1 - alpha) * hard / len(labels) + alpha * soft_loss(student_logits, teacher_logits, temperature)


# %% tokens
def token_loss(student_logits, teacher_logits, attention_mask, temperature):
    total, count = 0.0, 0
    for student, teacher, mask in zip(student_logits, teacher_logits, attention_mask, strict=True):
        for z, v, real in zip(student, teacher, mask, strict=True):
            if real:
                total += soft_loss(z[None], v[None], temperature)
                count += 1
    return total / count if count else 0.0


# %% gradient
def loss_gradient(student_logits, teacher_logits, labels, temperature, alpha):
    z, v = student_logits.numpy(), teacher_logits.numpy()
    slope = np.zeros_like(z)
    for row, label in enumerate(labels.numpy()):
        for j in range(z.shape[1]):
            if label >= 0:
                slope[row, j] += (1 - alpha) * (softmax(z[row])[j] - float(j == label))
            slope[row, j] += alpha * temperature * (softmax(z[row] / temperature)[j] - softmax(v[row] / temperature)[j])
    return slope / len(z)


# %% limit
def limit_loss(student_logits, teacher_logits):
    d = (student_logits - teacher_logits).numpy()
    classes = d.shape[1]
    return np.mean([(np.sum(row**2) - np.sum(row) ** 2 / classes) / (2 * classes) for row in d])


# %% numbers
p, q = (softmax(np.array(variant[name]) / variant["temperature"]) for name in ("teacher_logits", "student_logits"))
forward_kl = round(float(np.sum(p * np.log(p / q))), 4)
reverse_kl = round(float(np.sum(q * np.log(q / p))), 4)
soft_weight = (1 - variant["alpha"]) / variant["temperature"] ** 2
kit_alpha = np.float64(soft_weight / (soft_weight + variant["alpha"]))

# %% [markdown] curve
# KL is 0.433 at T = 2 and 0.030 at T = 8. The student is the same both times and cannot agree better: only the measure changed.
# At a high temperature softmax(v/T) and softmax(z/T) both come close to 1/K in every class, and KL shrinks like 1/T².
# With T² in front it would tend to half the mean square of the centred differences of the logits.
# In training the soft part would lose its weight against the labels. Train with T² at both temperatures,
# and take the one whose student has the better macro-F1 on the validation set.
