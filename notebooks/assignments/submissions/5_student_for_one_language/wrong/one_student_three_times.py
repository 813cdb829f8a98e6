"""Keeps the student after each epoch without copying it: three names for the last one.

caught: predictions
says: is each copy a copy
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
    copies.append(student)


def predict(texts, epoch):
    return torch.from_numpy(kdlib.predict_logits(copies[epoch], student_tokenizer, texts, max_length=MAX_LENGTH))


validation_logits = torch.stack([predict(validation_texts, epoch) for epoch in range(EPOCHS)])
validation_accuracy = (validation_logits.argmax(-1) == validation_labels).double().mean(1).tolist()
