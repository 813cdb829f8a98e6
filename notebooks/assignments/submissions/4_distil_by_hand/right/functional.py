"""No module and no optimiser for the student: gradients from autograd.grad, weights as plain tensors; einsum, kl_div, NumPy."""


# %% starting_loss
def starting_loss(teacher_logits, labels, temperature, alpha):
    rows, classes = teacher_logits.shape
    flat = torch.zeros(rows, classes, dtype=teacher_logits.dtype)
    soft = F.kl_div(flat.log_softmax(1), (teacher_logits / temperature).log_softmax(1), log_target=True, reduction="batchmean")
    hard = F.cross_entropy(flat, labels, ignore_index=-1, reduction="sum") / rows
    return alpha * temperature**2 * soft + (1 - alpha) * hard


# %% loop
import numpy as np


def teacher_outputs(weights, ids, batch_size):
    counts = torch.stack([(ids == word).sum(1) for word in range(WORDS + 1)], dim=1).float()
    counts[:, PAD] = 0
    return torch.einsum("nw,kw->nk", counts, weights["weight"]) + weights["bias"]


def pooled(embedded, attention_mask):
    share = attention_mask / attention_mask.sum(dim=1, keepdim=True)
    return torch.einsum("bsw,bs->bw", embedded, share.to(embedded.dtype))


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    log_q, log_p = (torch.log_softmax(logits / temperature, dim=1) for logits in (student_logits, teacher_logits))
    soft = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * temperature**2
    hard = F.cross_entropy(student_logits, labels, ignore_index=-1, reduction="sum") / len(labels)
    return (1 - alpha) * hard + alpha * soft


def forward(state, ids, dropout=0.0):
    vectors = pooled(state["embedding"][ids], (ids != PAD).long())
    return F.dropout(vectors, dropout) @ state["weight"].T + state["bias"]


def train(weights, texts, teacher_logits, settings):
    state, losses, states = dict(weights), [], []
    for epoch in range(settings["epochs"]):
        for rows in batches(len(texts["ids"]), settings["batch_size"], settings["seed"] + epoch):
            state = {name: value.detach().requires_grad_() for name, value in state.items()}
            logits = forward(state, texts["ids"][rows], settings["dropout"])
            loss = distillation_loss(
                logits, teacher_logits[rows], texts["labels"][rows], settings["temperature"], settings["alpha"]
            )
            slopes = torch.autograd.grad(loss, list(state.values()))
            state = {name: value - settings["rate"] * slope for (name, value), slope in zip(state.items(), slopes, strict=True)}
            losses.append(float(loss))
        states.append({name: value.detach() for name, value in state.items()})
    return {"losses": losses, "states": states}


def evaluate(states, validation, test, settings):
    def accuracy(state, texts):
        return float(np.mean(forward(state, texts["ids"]).argmax(1).numpy() == texts["labels"].numpy()))

    found = np.array([accuracy(state, validation) for state in states])
    chosen = int(found.argmax())
    return {"validation_accuracy": found, "chosen_epoch": chosen, "test_accuracy": accuracy(states[chosen], test)}


def distil(corpus, settings):
    logits = teacher_outputs(corpus["teacher"], corpus["train"]["ids"], settings["batch_size"])
    run = train(corpus["student"], corpus["train"], logits, settings)
    return {"teacher_logits": logits, **run, **evaluate(run["states"], corpus["validation"], corpus["test"], settings)}
