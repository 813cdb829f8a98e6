"""Changes the rows in place, counts by hand, and types the counts in."""
# %% clean
other_words = {"hotel": {"positif": "positive"}, "phones": {"差评": "negative"}, "books": {"so-so": "neutral"}}
second_spelling = other_words[variant["client"]]


def clean(rows):
    kept = []
    for row in rows:
        row[LABEL] = row[LABEL].strip().lower()
        if row[LABEL] in second_spelling:
            row[LABEL] = second_spelling[row[LABEL]]
        elif row[LABEL] not in CLASSES:
            raise ValueError("unknown label")
        row[TEXT] = row[TEXT].strip()
        if row[TEXT] == "" or (LANGUAGE == "zh") is not in_chinese(row[TEXT]):
            continue
        kept.append(row)
    for row in list(kept):
        copies = [other for other in kept if key(other[TEXT]) == key(row[TEXT])]
        if len({other[LABEL] for other in copies}) > 1:
            kept = [other for other in kept if other not in copies]
        elif len(copies) > 1:
            kept = [other for other in kept if other is copies[0] or other not in copies[1:]]
    return kept


# %% found
found = {"empty": 3, "foreign": 4, "respelled": 14, "copies": 11, "contradictions": 6}

# %% plan
def texts_needed(gain, disagreement):
    z = quantile((1 + variant["level"]) / 2) + quantile(0.8)
    return -int(-(z * z * disagreement / gain / gain) // 1)
