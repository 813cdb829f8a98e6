"""The baselines of the card: recall at 1 of 10 in per cent, by language, for validation and test. `python score.py` prints them."""

import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union
from sklearn.preprocessing import normalize


def vectorizer(language: str):
    """Characters 1 to 4 for Chinese, words 1 to 2 and characters 2 to 5 else."""
    if language == "zh":
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_union(words, TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True))


def baselines(rows: list[dict], split: str) -> dict[str, float]:
    """Recall of the four baselines on the rows of one language."""
    train = [row["turns"] for row in rows if row["split"] == "train"]
    vectors = vectorizer(rows[0]["language"]).fit([turn["text"] for turns in train for turn in turns])
    follows: dict[str, Counter] = defaultdict(Counter)
    for turns in train:
        for before, after in pairwise(turns):
            follows[before["act"]][after["act"]] += 1
    hits: dict[str, list[float]] = defaultdict(list)
    for row in (row for row in rows if row["split"] == split):
        history = row["turns"][: row["position"]]
        matrix = normalize(vectors.transform([" ".join(turn["text"] for turn in history), *row["candidates"]]))
        cosines = (matrix @ matrix.T).toarray()
        to_history, to_others = cosines[0, 1:], cosines[1:, 1:].sum(axis=1)
        counts = np.array([follows[history[-1]["act"]][act.split("/")[1]] for act in row["candidate_acts"]])
        likely = np.flatnonzero(counts == counts.max())
        same = [act == row["candidate_acts"][row["correct"]] for act in row["candidate_acts"]]
        hits["a: cosine to the history"].append(to_history.argmax() == row["correct"])
        hits["b: most frequent next act"].append((row["correct"] in likely) / len(likely))
        hits["c: cosine, the act known"].append(np.where(same, to_history, -1).argmax() == row["correct"])
        hits["d: cosine to the others"].append(to_others.argmax() == row["correct"])
    return {name: 100 * float(np.mean(values)) for name, values in hits.items()}


def main() -> None:
    for language in ("zh", "en", "fr"):
        path = Path(__file__).parent / f"dialogues.{language}.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for split in ("validation", "test"):
            print(language, split, {name: round(value, 1) for name, value in baselines(rows, split).items()})


if __name__ == "__main__":
    main()
