"""Calls the higher of two accuracies the better one, whatever the interval of the difference.

caught: verdict_test
says: can these texts rule out
"""


# %% claims
def verdict(low, high):
    if low >= 0:
        return "yes"
    if high <= 0:
        return "no"
    return "yes" if low + high > 0 else "no"


says = test_logits.argmax(-1)
right, rival = says == test_labels, tfidf_says == test_labels
accuracy, (low, high) = float(right.double().mean()), accuracy_interval(right)
difference, difference_low, difference_high = paired_interval(right, rival, variant["seed"])
error = float((right.double() - rival.double()).std()) / len(right) ** 0.5
claims = {
    "accuracy": accuracy, "low": low, "high": high,
    "retention": accuracy / float((teacher_says == test_labels).double().mean()),
    "agreement": float((says == teacher_says).double().mean()),
    "difference": difference, "difference_low": difference_low, "difference_high": difference_high,
    "detectable": 2.8 * error,
    "better_than_tfidf": verdict(difference_low, difference_high),
}  # fmt: skip
