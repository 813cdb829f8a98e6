"""Read the questions, score answers by exact match and F1, and measure two baselines that learn nothing.

``python data/questions/score.py`` prints the table of the data card.
"""

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ARTICLES = {"zh": r"(?!)", "en": r"\b(?:a|an|the)\b", "fr": r"\b(?:le|la|les|un|une|des|du)\b|\b[ld]'"}  # (?!): none
NUMBER, MONTHS = r"\d+(?:[., ]\d{3})*", "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|f[ée]v|avr|mai|juin|juil|ao|d[ée]c)"
DAYS = r"\b[A-Z]\w+day\b|\b(?:lun|mar|mercre|jeu|vendre|same)di\b|\bdimanche\b|星期[一二三四五六日]"
NAMES = r"[A-ZÉ][\w'-]+(?: [A-ZÉ][\w'-]+)*"  # runs of capitalised words, for English and French
TYPES = [  # what the question says, what the span then looks like: the first that fits
    (r"percent|proportion|pourcentage|part de|百分|比例", r"\d+ ?%"),
    (r"how much|price|cost|pay|fee\b|combien co|combien .*pay|prix|tarif|多少钱|花多少|价", NUMBER + r" ?[^\W\d]+(?: [^\W\d]+)?"),
    (r"week|what day|which day|on what day|quel jour|星期几|哪一天|一周", DAYS),
    (r"what time|à quelle heure|几点", r"\d\d:\d\d"),
    (r"when|date|quand|几号|哪天|什么时候", rf"\d+ {MONTHS}\w*|\d+月\d+日|\d\d:\d\d"),
    (r"how (?:many|large|long|heavy|big)|how much|weight|combien|poids|多少|几|多重|多长|多久", NUMBER + r"(?: ?[^\W\d]+)?"),
]


def read(folder: Path = HERE) -> list[dict[str, Any]]:
    """The composed rows with their passages, as ``compose()`` in compose.py gives them."""
    passages = [json.loads(line) for line in (folder / "passages.jsonl").read_text(encoding="utf-8").splitlines()]
    contexts = {(row["passage"], row["language"]): row["context"] for row in passages}
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    first = ["id", "passage", "language", "split"]
    return [{**{k: row[k] for k in first}, "context": contexts[row["passage"], row["language"]], **row} for row in rows]


def tokens(text: str, language: str) -> list[str]:
    """What is compared: words in English and French, characters in Chinese; without case, punctuation and articles."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").lower()
    text = re.sub(ARTICLES[language], " ", text)
    text = "".join("" if unicodedata.category(character)[0] == "P" else character for character in text)
    return [character for character in text if not character.isspace()] if language == "zh" else text.split()


def exact_match(answer: str | None, truth: str | None, language: str) -> float:
    """1 where both are the same after normalisation; None, no answer, is the same as itself only."""
    return float((answer is None) == (truth is None) and tokens(answer or "", language) == tokens(truth or "", language))


def f1(answer: str | None, truth: str | None, language: str) -> float:
    """Harmonic mean of precision and recall of the tokens; where one side is None, 1 if both are, else 0."""
    if answer is None or truth is None:
        return float(answer is truth)
    left, right = tokens(answer, language), tokens(truth, language)
    common = sum((Counter(left) & Counter(right)).values())
    return 2 * common / (len(left) + len(right)) if common else 0.0


def overlap_answer(context: str, question: str, language: str) -> str | None:
    """Baseline (a): in the sentence that shares most tokens with the question, the first span of the likely type."""
    asked = set(tokens(question, language))
    sentences = [sentence for sentence in re.split(r"(?<=[.!?。！？])\s*(?=\S)|\n", context) if sentence.strip()]
    best = max(sentences, key=lambda sentence: len(asked & set(tokens(sentence, language))))
    pattern = next((shape for cue, shape in TYPES if re.search(cue, question.lower())), None)
    if pattern:
        found = re.search(pattern, best) or re.search(pattern, context)
        return found.group() if found else best
    pieces = (
        re.split(r"[，。；：、]|[在从由的是到和]", best) if language == "zh" else re.findall(NAMES, best[:1].lower() + best[1:])
    )
    new = [piece for piece in pieces if piece.strip() and not set(tokens(piece, language)) <= asked]
    return new[0] if new else best


def measure(rows: list[dict[str, Any]], answers: list[str | None]) -> tuple[float, float]:
    """Mean exact match and F1, in per cent."""
    scored = [(row, answer) for row, answer in zip(rows, answers, strict=True)]
    return tuple(
        100 * sum(score(answer, row["answer_text"], row["language"]) for row, answer in scored) / len(scored)
        for score in (exact_match, f1)
    )


def table() -> list[str]:
    """The lines of the table in the data card."""
    written = [json.loads(line) for line in (HERE / "written.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = []
    for name, part in (("test", [row for row in read() if row["split"] == "test"]), ("written", written)):
        for language in ("zh", "en", "fr"):
            rows = [row for row in part if row["language"] == language]
            guessed = [overlap_answer(row["context"], row["question"], language) for row in rows]
            known = [row for row in rows if row["answerable"]]
            figures = [
                *measure(rows, guessed),
                measure(known, [overlap_answer(r["context"], r["question"], language) for r in known])[1],
            ]
            figures.append(measure(rows, [None] * len(rows))[0])
            lines.append(f"| {name} | {language} | {len(rows)} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
