"""Calls every label that it does not know neutral in place of an error.

caught: clean_rows
says: raise a ValueError in place of a guess
"""
# %% clean
second_spelling = {"positif": "positive"}


def clean(rows):
    names = {name: name for name in CLASSES} | second_spelling
    groups = {}
    for row in rows:
        label = names.get(row[LABEL].strip().lower(), "neutral")
        text = row[TEXT].strip()
        if text and in_chinese(text) == (LANGUAGE == "zh"):
            groups.setdefault(key(text), []).append({**row, TEXT: text, LABEL: label})
    return [group[0] for group in groups.values() if len({row[LABEL] for row in group}) == 1]
