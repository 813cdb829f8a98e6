"""Looks for contradictions before the second spelling is replaced, so that two words for one class contradict one another.

caught: clean_copies
says: other rows are kept than the rules say
"""
# %% clean
second_spelling = {"positif": "positive"}


def clean(rows):
    groups = {}
    for row in rows:
        label, text = row[LABEL].strip().lower(), row[TEXT].strip()
        if label not in (*CLASSES, *second_spelling):
            raise ValueError(label)
        if text and in_chinese(text) == (LANGUAGE == "zh"):
            groups.setdefault(key(text), []).append({**row, TEXT: text, LABEL: label})
    kept = [group[0] for group in groups.values() if len({row[LABEL] for row in group}) == 1]
    return [{**row, LABEL: second_spelling.get(row[LABEL], row[LABEL])} for row in kept]
