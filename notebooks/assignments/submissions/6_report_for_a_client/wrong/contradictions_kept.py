"""Keeps the first of copies that contradict one another, as kdlib does.

caught: clean_copies
says: of those that contradict one another none
"""
# %% clean
second_spelling = {"positif": "positive"}


def clean(rows):
    kept, seen = [], set()
    for row in rows:
        label = row[LABEL].strip().lower()
        label = second_spelling.get(label, label)
        if label not in CLASSES:
            raise ValueError(label)
        text = row[TEXT].strip()
        if not text or in_chinese(text) != (LANGUAGE == "zh") or key(text) in seen:
            continue
        seen.add(key(text))
        kept.append({**row, TEXT: text, LABEL: label})
    return kept
