"""Saves the student after each epoch and loads it again; chooses with numpy; draws counts in place of texts."""

# %% training
from transformers import AutoModelForSequenceClassification

set_dropout(student.train(), 0.0)
optimiser, losses, copies = torch.optim.AdamW(student.parameters(), LEARNING_RATE), [], []
for epoch in range(EPOCHS):
    for rows in batches(epoch):
        encoded = student_tokenizer(
            [texts[i] for i in rows], truncation=True, max_length=MAX_LENGTH, padding="max_length", return_tensors="pt"
        )
        logits = student(**encoded).logits
        loss = distillation_loss(
            logits, teacher_logits[rows], labels[rows], temperature=variant["temperature"], alpha=ALPHA, objective="kl"
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses += [loss.item()]
    copies += [f"epoch_{epoch}"]
    student.save_pretrained(copies[-1])


def predict(texts, epoch):
    model = AutoModelForSequenceClassification.from_pretrained(copies[epoch])
    return torch.tensor(kdlib.predict_logits(model, student_tokenizer, texts, 100, MAX_LENGTH))


validation_logits = torch.stack([predict(validation_texts, epoch) for epoch in range(EPOCHS)])
validation_accuracy = (validation_logits.argmax(-1) == validation_labels).double().mean(1).tolist()


# %% choice
def choose(validation_scores, test_scores):
    return int(np.argmax(validation_scores))  # the first of several largest


chosen = choose(validation_accuracy, [])
test_logits = torch.cat([predict(test_texts[first : first + 200], chosen) for first in (0, 200, 400)])


# %% intervals
def accuracy_interval(correct):
    n, k = correct.numel(), int(correct.sum())
    roots = np.roots([1 + 1.96**2 / n, -(2 * k / n + 1.96**2 / n), (k / n) ** 2]).real
    return min(roots), max(roots)


def paired_interval(correct_a, correct_b, seed):
    n, only_a, only_b = len(correct_a), int((correct_a & ~correct_b).sum()), int((~correct_a & correct_b).sum())
    draws = np.random.RandomState(seed).multinomial(n, [only_a / n, only_b / n, 1 - (only_a + only_b) / n], 4000)
    low, high = np.percentile((draws[:, 0] - draws[:, 1]) / n, [2.5, 97.5])
    return (only_a - only_b) / n, low, high
