"""Drops the neutral rows without a word, as if sentiment had two classes.

caught: clean_rows, clean_copies
says: the other three have to stay
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
        if text and in_chinese(text) == (LANGUAGE == "zh") and label in ("negative", "positive"):
            groups.setdefault(key(text), []).append({**row, TEXT: text, LABEL: label})
    return [group[0] for group in groups.values() if len({row[LABEL] for row in group}) == 1]
