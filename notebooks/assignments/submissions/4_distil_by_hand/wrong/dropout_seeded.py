"""Makes the teacher's dropout repeatable with a seed in place of turning it off.

caught: teacher_test
says: wrong even for one text at a time
"""


# %% loop
def teacher_outputs(weights, ids, batch_size):
    """The teacher's logits [rows, classes], row i for text i; similar lengths share a batch, which is cut to its longest text."""
    lengths = (ids != PAD).sum(1)
    order = lengths.argsort(stable=True)
    teacher_logits = torch.zeros(len(ids), len(weights["bias"]))
    torch.manual_seed(0)
    teacher = Teacher(weights)
    with torch.inference_mode():
        for start in range(0, len(ids), batch_size):
            rows = order[start : start + batch_size]
            batch = ids[rows, : lengths[rows].max()]
            teacher_logits[rows] = teacher(batch, attention_mask=(batch != PAD).long())
    return teacher_logits


def pooled(embedded, attention_mask):
    """The mean of the vectors of a text's own tokens: [rows, tokens, width] and [rows, tokens] give [rows, width]."""
    mask = attention_mask.unsqueeze(-1)
    return (embedded * mask).sum(1) / mask.sum(1)


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    """The mean over all rows of (1 − alpha) · CE + alpha · T² · KL(teacher ‖ student); a row with label −1 has no CE."""
    log_p = F.log_softmax(teacher_logits / temperature, dim=-1)
    log_q = F.log_softmax(student_logits / temperature, dim=-1)
    soft = temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1)
    hard = F.cross_entropy(student_logits, labels, ignore_index=-1, reduction="none")
    return ((1 - alpha) * hard + alpha * soft).mean()


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
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        states.append({name: value.clone() for name, value in student.state_dict().items()})
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
    chosen = max(range(len(states)), key=lambda epoch: accuracy["validation"][epoch])
    return {"validation_accuracy": accuracy["validation"], "chosen_epoch": chosen, "test_accuracy": accuracy["test"][chosen]}


def distil(corpus, settings):
    """The whole run, as plain values."""
    torch.manual_seed(settings["seed"])  # for the student's dropout
    teacher_logits = teacher_outputs(corpus["teacher"], corpus["train"]["ids"], settings["batch_size"])
    run = train(corpus["student"], corpus["train"], teacher_logits, settings)
    return {"teacher_logits": teacher_logits, **run, **evaluate(run["states"], corpus["validation"], corpus["test"], settings)}
