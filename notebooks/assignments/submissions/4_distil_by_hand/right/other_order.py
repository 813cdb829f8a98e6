"""Clears gradients at the end of each step, sorts back with the inverse order, soft term by cross-entropy less entropy."""


# %% starting_loss
def starting_loss(teacher_logits, labels, temperature, alpha):
    nothing, known = torch.zeros_like(teacher_logits), labels >= 0  # the student's logits
    p = F.softmax(teacher_logits / temperature, dim=-1)
    soft = temperature**2 * (F.cross_entropy(nothing, p) - torch.special.entr(p).sum(-1).mean())
    hard = F.cross_entropy(nothing[known], labels[known], reduction="sum") / len(labels)
    return (1 - alpha) * hard + alpha * soft


# %% loop
def teacher_outputs(weights, ids, batch_size):
    """The teacher's logits [rows, classes], row i for text i; similar lengths share a batch, which is cut to its longest text."""
    lengths = (ids != PAD).sum(1)
    order = lengths.argsort(stable=True)
    parts, teacher = [], Teacher(weights)
    teacher.train(False)
    with torch.no_grad():
        for start in range(0, len(ids), batch_size):
            rows = order[start : start + batch_size]
            batch = ids[rows, : lengths[rows].max()]
            parts.append(teacher(batch, (batch != PAD).long()))
    return torch.cat(parts)[order.argsort()]


def pooled(embedded, attention_mask):
    """The mean of the vectors of a text's own tokens: [rows, tokens, width] and [rows, tokens] give [rows, width]."""
    hidden = embedded.masked_fill(attention_mask.unsqueeze(-1) == 0, math.nan)
    return hidden.nanmean(dim=1)


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    """The mean over all rows of (1 − alpha) · CE + alpha · T² · KL(teacher ‖ student); a row with label −1 has no CE."""
    p = F.softmax(teacher_logits / temperature, dim=-1)
    soft = F.cross_entropy(student_logits / temperature, p, reduction="none") + torch.special.entr(p).neg().sum(-1)
    known = labels >= 0
    hard = F.cross_entropy(student_logits[known], labels[known], reduction="sum") / len(labels)
    return (1 - alpha) * hard + (alpha * temperature**2 * soft).mean()


def train(weights, texts, teacher_logits, settings):
    """The loss of every step, each before its step, and the student's weights as they stood after every epoch."""
    ids, labels = texts["ids"], texts["labels"]
    student = Student(weights, pooled, settings["dropout"])
    optimiser = torch.optim.SGD(student.parameters(), lr=settings["rate"])
    losses, states = [], []
    for epoch in range(settings["epochs"]):
        for rows in batches(len(ids), settings["batch_size"], settings["seed"] + epoch):
            logits = student(ids[rows])
            loss = distillation_loss(logits, teacher_logits[rows], labels[rows], settings["temperature"], settings["alpha"])
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.detach())
        states.append({name: value.detach() + 0 for name, value in student.state_dict().items()})
    return {"losses": losses, "states": states}


@torch.inference_mode()
def evaluate(states, validation, test, settings):
    """The validation accuracy after each epoch; the epoch chosen by it, the first of the best; that epoch's test accuracy."""
    accuracy, size = {"validation": [], "test": []}, settings["batch_size"]
    for weights in states:
        student = Student(weights, pooled, settings["dropout"]).eval()
        for name, texts in (("validation", validation), ("test", test)):
            pairs = zip(texts["ids"].split(size), texts["labels"].split(size), strict=True)
            right = [(student(ids).argmax(-1) == labels).float() for ids, labels in pairs]
            accuracy[name].append(torch.cat(right).mean().item())
    chosen = int(torch.tensor(accuracy["validation"]).argmax())
    return {"validation_accuracy": accuracy["validation"], "chosen_epoch": chosen, "test_accuracy": accuracy["test"][chosen]}


def distil(corpus, settings):
    """The whole run, as plain values."""
    torch.manual_seed(settings["seed"])  # for the student's dropout
    teacher_logits = teacher_outputs(corpus["teacher"], corpus["train"]["ids"], settings["batch_size"])
    run = train(corpus["student"], corpus["train"], teacher_logits, settings)
    return {"teacher_logits": teacher_logits, **run, **evaluate(run["states"], corpus["validation"], corpus["test"], settings)}
