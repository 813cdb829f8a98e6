"""Takes the texts one by one everywhere: no padding in the teacher, gradients gathered row by row, answers counted."""


# %% starting_loss
def starting_loss(teacher_logits, labels, temperature, alpha):
    total = 0.0
    for row, label in zip(teacher_logits.tolist(), labels.tolist(), strict=True):
        powers = [math.exp(logit / temperature) for logit in row]
        p = [power / sum(powers) for power in powers]
        total += alpha * temperature**2 * sum(share * math.log(share * len(p)) for share in p)
        total += (1 - alpha) * math.log(len(p)) if label >= 0 else 0.0
    return total / len(labels)


# %% loop
def teacher_outputs(weights, ids, batch_size):
    teacher = Teacher(weights, dropout=0.0)
    answers = []
    for row in ids:
        own = row[row != PAD].unsqueeze(0)
        answers.append(teacher(own)[0].detach())
    return torch.stack(answers)


def pooled(embedded, attention_mask):
    return torch.stack([vectors[present.bool()].mean(0) for vectors, present in zip(embedded, attention_mask, strict=True)])


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    total = 0.0
    for z, v, y in zip(student_logits, teacher_logits, labels, strict=True):
        p = torch.softmax(v / temperature, 0)
        total = total + alpha * temperature**2 * (torch.special.xlogy(p, p) - p * torch.log_softmax(z / temperature, 0)).sum()
        if y >= 0:
            total = total - (1 - alpha) * torch.log_softmax(z, 0)[y]
    return total / len(labels)


def train(weights, texts, teacher_logits, settings):
    student = Student(weights, pooled, settings["dropout"])
    run = {"losses": [], "states": []}
    for epoch in range(settings["epochs"]):
        for rows in batches(len(texts["ids"]), settings["batch_size"], settings["seed"] + epoch):
            for parameter in student.parameters():
                parameter.grad = None
            loss = 0.0
            for i in rows.split(1):
                part = distillation_loss(
                    student(texts["ids"][i]), teacher_logits[i], texts["labels"][i], settings["temperature"], settings["alpha"]
                ) / len(rows)
                part.backward()  # the gradients of one batch are meant to add up
                loss += part.item()
            run["losses"].append(loss)
            with torch.no_grad():
                for parameter in student.parameters():
                    parameter -= settings["rate"] * parameter.grad
        run["states"].append({name: parameter.detach().clone() for name, parameter in student.named_parameters()})
    return run


def evaluate(states, validation, test, settings):
    found = []
    for weights in states:
        student = Student(weights, pooled, 0.0)
        right = [
            sum(
                int(student(row.unsqueeze(0)).argmax()) == int(label)
                for row, label in zip(part["ids"], part["labels"], strict=True)
            )
            / len(part["ids"])
            for part in (validation, test)
        ]
        found.append(right)
    best = max(right[0] for right in found)
    chosen = [right[0] for right in found].index(best)
    return {"validation_accuracy": [right[0] for right in found], "chosen_epoch": chosen, "test_accuracy": found[chosen][1]}


def distil(corpus, settings):
    logits = teacher_outputs(corpus["teacher"], corpus["train"]["ids"], 1)
    run = train(corpus["student"], corpus["train"], logits, settings)
    return run | {"teacher_logits": logits} | evaluate(run["states"], corpus["validation"], corpus["test"], settings)
