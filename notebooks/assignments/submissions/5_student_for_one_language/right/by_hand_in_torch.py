"""Writes labelling, loss and prediction by hand; a normal interval in place of the bootstrap, scipy for Wilson's."""


# %% answers
def read(model, cutter, texts, size):
    model.eval()
    logits = torch.zeros(len(texts), 2)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    with torch.inference_mode():
        for first in range(0, len(texts), size):
            rows = order[first : first + size]
            tokens = cutter(
                [texts[row] for row in rows], truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt"
            )
            logits[rows] = model(**tokens).logits
    return logits


def answers(texts):
    return read(teacher, tokenizer, texts, 24)


teacher_logits = answers(texts)

# %% training
for module in student.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
optimiser = torch.optim.AdamW([{"params": list(student.parameters())}], lr=LEARNING_RATE)
T, losses, states = variant["temperature"], [], []
cut = student_tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
p = F.softmax(teacher_logits / T, dim=-1)
for epoch in range(EPOCHS):
    for rows in batches(epoch):
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(cut[row]) for row in rows], batch_first=True, padding_value=student_tokenizer.pad_token_id
        )
        mask = torch.arange(ids.shape[1]) < torch.tensor([[len(cut[row])] for row in rows])
        logits = student(input_ids=ids, attention_mask=mask.long()).logits
        soft = T**2 * (p[rows] * (p[rows].log() - F.log_softmax(logits / T, dim=-1))).sum()
        known = labels[rows] >= 0
        hard = -F.log_softmax(logits[known], dim=-1)[torch.arange(int(known.sum())), labels[rows][known]].sum()
        loss = ((1 - ALPHA) * hard + ALPHA * soft) / len(rows)
        loss.backward()
        optimiser.step()
        student.zero_grad()
        losses.append(loss.item())
    states.append({name: weights.clone() for name, weights in student.state_dict().items()})
copies = None


def predict(texts, epoch):
    student.load_state_dict(states[epoch])
    return read(student, student_tokenizer, texts, 50)


validation_logits = torch.stack([predict(validation_texts, epoch) for epoch in range(EPOCHS)])
validation_accuracy = (validation_logits.argmax(-1) == validation_labels).double().mean(1).tolist()


# %% intervals
from scipy import stats


def accuracy_interval(correct):
    interval = stats.binomtest(int(correct.sum()), len(correct)).proportion_ci(method="wilson")
    return interval.low, interval.high


def paired_interval(correct_a, correct_b, seed):
    d = correct_a.float() - correct_b.float()
    half = 1.96 * d.std() / len(d) ** 0.5
    return d.mean(), d.mean() - half, d.mean() + half
