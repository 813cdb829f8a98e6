"""Hands in a report that was made from a table from which only the rows without a text had been removed by hand.

caught: own_run
says: was the report made from clean.csv?
"""
# %% run
hits = {"teacher": 93, "student_labels_only": 50, "tfidf_logistic": 80}
models = {name: {"accuracy": right / 97} for name, right in hits.items()}
own_metrics = {
    "settings": {"text_column": TEXT, "label_column": LABEL, "seeds": [0], "temperature": variant["temperature"], "layers": [0]},
    "languages": {LANGUAGE: {
        "data": {"train": 339, "validation": 48, "test": 97, "transfer": 480},
        "student_distilled": {"n": 97, "accuracy": 82 / 97, "confusion": [[29, 3, 2], [7, 20, 1], [2, 0, 33]]}, **models,
        "differences": {name: {"difference": 82 / 97 - model["accuracy"]} for name, model in models.items()},
    }},
}
