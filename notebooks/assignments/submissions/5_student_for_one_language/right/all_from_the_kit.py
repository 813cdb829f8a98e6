"""Takes everything that the kit has: teacher's outputs as a column, evaluate, paired bootstrap, agreement, retention."""


# %% answers
def answers(texts):
    from datasets import Dataset

    column = kdlib.add_teacher_outputs(
        Dataset.from_dict({"text": list(texts)}), teacher, tokenizer, max_length=MAX_LENGTH, batch_size=16
    )
    return torch.tensor(list(column["teacher_logits"]))


teacher_logits = answers(texts)

# %% student
student, student_tokenizer = kdlib.make_student(teacher, tokenizer, (variant["layer"],), "trim", [*texts[::-1], *texts[:3]])
start_logits = kdlib.predict_logits(student, student_tokenizer, texts[:16], 4, MAX_LENGTH)  # an array serves as well
facts = {"pieces": student.config.vocab_size, "parameters": sum(weights.numel() for weights in student.parameters())}
facts["times_smaller"] = round(sum(weights.numel() for weights in teacher.parameters()) / facts["parameters"], 3)


# %% intervals
def accuracy_interval(correct):
    zeros_and_ones = np.eye(2)[correct.long().numpy()]  # logits that choose class 1 where the answer was right
    return kdlib.evaluate(np.ones(len(correct), int), zeros_and_ones, kdlib.LABEL_NAMES).accuracy_interval


def paired_interval(correct_a, correct_b, seed):
    from kdlib.evaluate import paired_bootstrap

    return tuple(paired_bootstrap(correct_a.numpy(), correct_b.numpy(), resamples=5000, seed=seed))


# %% claims
from kdlib.evaluate import agreement, retention, smallest_detectable_difference


def verdict(low, high):
    return {(True, True): "yes", (False, False): "no"}.get((low > 0, high >= 0), "cannot tell")


one_hot = F.one_hot
student_result = kdlib.evaluate(test_labels, test_logits, kdlib.LABEL_NAMES)
teacher_result = kdlib.evaluate(test_labels, one_hot(teacher_says, 2), kdlib.LABEL_NAMES)
right, rival = test_logits.argmax(-1) == test_labels, tfidf_says == test_labels
gap = paired_interval(right, rival, variant["seed"])
claims = {"accuracy": student_result.accuracy, "retention": retention(student_result.accuracy, teacher_result.accuracy)}
claims |= dict(zip(("low", "high"), student_result.accuracy_interval, strict=True))
claims |= dict(zip(("difference", "difference_low", "difference_high"), gap, strict=True))
claims |= {"agreement": agreement(test_logits, one_hot(teacher_says, 2)), "better_than_tfidf": verdict(gap[1], gap[2])}
claims["detectable"] = smallest_detectable_difference(right.numpy(), rival.numpy())
