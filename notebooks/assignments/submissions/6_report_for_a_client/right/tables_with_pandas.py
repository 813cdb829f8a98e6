"""Cleans with pandas, counts with a Counter, and orders the report with name and value in two strings."""
# %% clean
import pandas as pd

second_spelling = {{"hotel": "positif", "phones": "差评", "books": "so-so"}[variant["client"]]:
                   {"hotel": "positive", "phones": "negative", "books": "neutral"}[variant["client"]]}


def clean(rows):
    frame = pd.DataFrame(rows, dtype=object)
    if frame.empty:
        return []
    frame[LABEL] = frame[LABEL].str.strip().str.casefold().replace(second_spelling)
    unknown = frame.loc[~frame[LABEL].isin(CLASSES), LABEL]
    if len(unknown):
        raise ValueError(f"unknown label {unknown.iloc[0]}")
    frame[TEXT] = frame[TEXT].str.strip()
    frame = frame[(frame[TEXT] != "") & (frame[TEXT].map(in_chinese).astype(bool) == (LANGUAGE == "zh"))]
    if frame.empty:
        return []
    by_key = frame[TEXT].map(key)
    frame = frame[(frame.groupby(by_key)[LABEL].transform("nunique") == 1) & ~by_key.duplicated()]
    return frame.to_dict("records")


# %% found
spelled = Counter(row[LABEL].strip().lower() for row in rows)
ours = [row for row in rows if row[TEXT].strip() and in_chinese(row[TEXT]) == (LANGUAGE == "zh")]
meant = {}
for row in ours:
    name = row[LABEL].strip().lower()
    meant.setdefault(key(row[TEXT]), set()).add(second_spelling.get(name, name))
times = Counter(key(row[TEXT]) for row in ours)
found = dict(respelled=sum(spelled[word] for word in second_spelling))
found["empty"] = len([row for row in rows if row[TEXT].isspace() or not row[TEXT]])
found["foreign"] = len(rows) - len(ours) - found["empty"]
found["copies"] = sum(count - 1 for name, count in times.items() if len(meant[name]) == 1)
found["contradictions"] = sum(count for name, count in times.items() if len(meant[name]) > 1)

# %% parameters
def report_parameters(data, transfer):
    return dict(profile="quick", data=data, transfer=transfer, language=LANGUAGE, languages=[LANGUAGE], text_column=TEXT,
                label_column=LABEL, layers={LANGUAGE: [0]}, seeds=[0], temperature=float(variant["temperature"]))


def command(parameters):
    line = ["kdlib", "report"]
    for name, value in parameters.items():
        line += ["--" + "-".join(name.split("_")), value if type(value) is str else json.dumps(value, ensure_ascii=False)]
    return line
