"""States accuracy and intervals in per cent where shares are asked.

caught: claims_test
says: shares are asked, not per cent
"""


# %% claims
def verdict(low, high):
    if low <= 0 <= high:
        return "cannot tell"
    return "yes" if low > 0 else "no"


says = test_logits.argmax(-1)
right, rival = says == test_labels, tfidf_says == test_labels
accuracy, (low, high) = float(right.double().mean()), accuracy_interval(right)
difference, difference_low, difference_high = (100 * end for end in paired_interval(right, rival, variant["seed"]))
error = float((right.double() - rival.double()).std()) / len(right) ** 0.5
claims = {
    "accuracy": 100 * accuracy, "low": 100 * low, "high": 100 * high,
    "retention": 100 * accuracy / float((teacher_says == test_labels).double().mean()),
    "agreement": 100 * float((says == teacher_says).double().mean()),
    "difference": difference, "difference_low": difference_low, "difference_high": difference_high,
    "detectable": 100 * 2.8 * error,
    "better_than_tfidf": verdict(difference_low, difference_high),
}  # fmt: skip
