"""Looks at the test accuracy of every epoch and keeps the best one.

caught: choice_test
says: which rows are there to choose by
"""


# %% choice
def choose(validation_scores, test_scores):
    return int(np.argmax(test_scores))


logits_of_epochs = [predict(test_texts, epoch) for epoch in range(EPOCHS)]
test_accuracy = [float((logits.argmax(-1) == test_labels).double().mean()) for logits in logits_of_epochs]
chosen = choose(validation_accuracy, test_accuracy)
test_logits = logits_of_epochs[chosen]
