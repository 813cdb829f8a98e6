"""Compares texts letter by letter, so that copies in other case, spaces or punctuation stay.

caught: clean_copies
says: copies differ in case, spaces and punctuation
"""
# %% clean
second_spelling = {"positif": "positive"}


def clean(rows):
    groups = {}
    for row in rows:
        label = row[LABEL].strip().lower()
        label = second_spelling.get(label, label)
        if label not in CLASSES:
            raise ValueError(label)
        text = row[TEXT].strip()
        if text and in_chinese(text) == (LANGUAGE == "zh"):
            groups.setdefault(text, []).append({**row, TEXT: text, LABEL: label})
    return [group[0] for group in groups.values() if len({row[LABEL] for row in group}) == 1]
