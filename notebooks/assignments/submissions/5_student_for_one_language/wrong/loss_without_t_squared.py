"""Writes the loss by hand and forgets the factor T².

caught: first_steps
says: the very first loss is not that of your student
"""

# %% training
set_dropout(student, 0.0)
student.train()
optimiser = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE)
T, losses, copies = variant["temperature"], [], []
for epoch in range(EPOCHS):
    for rows in batches(epoch):
        tokens = student_tokenizer(
            [texts[row] for row in rows], truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt"
        )
        student_logits = student(**tokens).logits
        log_p, log_q = F.log_softmax(teacher_logits[rows] / T, dim=-1), F.log_softmax(student_logits / T, dim=-1)
        soft = (log_p.exp() * (log_p - log_q)).sum(-1)
        hard = F.cross_entropy(student_logits, labels[rows], ignore_index=-1, reduction="none")
        loss = ((1 - ALPHA) * hard + ALPHA * soft).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    copies.append(copy.deepcopy(student))


def predict(texts, epoch):
    return torch.from_numpy(kdlib.predict_logits(copies[epoch], student_tokenizer, texts, max_length=MAX_LENGTH))


validation_logits = torch.stack([predict(validation_texts, epoch) for epoch in range(EPOCHS)])
validation_accuracy = (validation_logits.argmax(-1) == validation_labels).double().mean(1).tolist()
