"""Trains with the attention mask and predicts without it: the student reads the padding.

caught: predictions
says: what does the student see of the padding
"""

# %% training
set_dropout(student, 0.0)
student.train()
optimiser = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE)
losses, copies = [], []
for epoch in range(EPOCHS):
    for rows in batches(epoch):
        tokens = student_tokenizer(
            [texts[row] for row in rows], truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt"
        )
        loss = distillation_loss(student(**tokens).logits, teacher_logits[rows], labels[rows], variant["temperature"], ALPHA)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    copies.append(copy.deepcopy(student).eval())


@torch.no_grad()
def predict(texts, epoch):
    parts = []
    for first in range(0, len(texts), 20):
        tokens = student_tokenizer(
            texts[first : first + 20], truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt"
        )
        parts.append(copies[epoch](input_ids=tokens["input_ids"]).logits)
    return torch.cat(parts)


validation_logits = torch.stack([predict(validation_texts, epoch) for epoch in range(EPOCHS)])
validation_accuracy = (validation_logits.argmax(-1) == validation_labels).double().mean(1).tolist()
