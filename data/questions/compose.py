"""Compose passages and questions in Chinese, English and French from templates.json and CLDR (through babel).

``python data/questions/compose.py`` writes passages.jsonl and questions.jsonl beside this file; ``score.read()`` joins the two.
"""

import json
import random
import re
import runpy
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DATA = json.loads((HERE / "templates.json").read_text(encoding="utf-8"))
FILL = runpy.run_path(str(HERE / "fillers.py"))["fill"]  # by path, so that this file can be imported from anywhere
SPACE = {"zh": "", "en": " ", "fr": " "}
PASSAGES = {"train": 250, "validation": 60, "test": 100, "transfer": 150}
LONG, JOINED = 12, 5  # each of the last 12 test passages joins five of different templates
UNANSWERABLE = {"train": 0.45, "validation": 0.5, "test": 1.0, "transfer": 0.45}  # odds of drawing such a question, to 1


def render(pattern: str, values: dict[str, dict[str, str]], language: str) -> tuple[str, dict[str, int]]:
    """A sentence with its slots filled, and where each slot starts in it."""
    text, starts = "", {}
    for number, piece in enumerate(re.split(r"[{}]", pattern)):  # text, slot, text, slot, …
        if number % 2:
            starts[piece] = len(text)
        text += values[piece][language] if number % 2 else piece
    return text[:1].upper() + text[1:], starts


def write(template: dict[str, Any], split: str, rng: random.Random, taken: list[Any]) -> tuple[dict[str, str], list[Any]]:
    """A passage in each language, its sentences but the first in any order and some left out, and what can be asked of it.

    A question suits where the passage holds another span of the kind that it asks for: then the kind alone does not tell the
    answer, and where the sentence with the answer is left out, the other span is a plausible wrong one.
    """
    first, *others = template["blocks"]
    answers = [question["answer"] for question in template["questions"]]
    asked_for = {template["slots"].get(slot, slot.partition(".")[2]).split(" ")[0] for slot in answers}
    asides = DATA["asides"].get(template["split"], DATA["asides"]["train"])
    asides = [aside for aside in asides if {kind.split()[0] for kind in aside["slots"].values()} & asked_for]
    asides = rng.sample(asides, rng.randint(1, 2))  # one or two sentences beside the point, each with a span of some kind
    slots = template["slots"] | {slot: kind for aside in asides for slot, kind in aside["slots"].items()}
    values = FILL(slots, split, rng, taken)
    kinds = {slot: slots.get(slot, slot.partition(".")[2] or " ").split(" ")[0].rstrip("2") for slot in values}
    told = rng.sample(others, rng.randint(3, min(4, len(others) - 1))) + asides
    texts, places = dict.fromkeys(SPACE, ""), {}  # places: {slot: {language: where it starts}}
    for block in [first, *rng.sample(told, len(told))]:
        for language, space in SPACE.items():
            texts[language] += space if texts[language] else ""
            sentence, starts = render(block[language], values, language)
            for slot, start in starts.items():
                places.setdefault(slot, {}).setdefault(language, len(texts[language]) + start)
            texts[language] += sentence
    questions = []
    for number, question in enumerate(template["questions"], 1):
        slot, kind = question["answer"], kinds[question["answer"]]
        if {values[other]["en"] for other in places if kinds[other] == kind} - {values[slot]["en"]}:
            asked = {language: render(question[language], values, language)[0] for language in SPACE}
            known = {"template": f"{template['template']}/{number}", "kind": kind}
            length = {language: len(values[slot][language]) for language in SPACE}
            questions.append({**known, "asked": asked, "starts": places.get(slot), "length": length})
    return texts, questions


def rows_of(name: str, split: str, templates: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """The rows of one passage, which may join several: two to four questions in three languages."""
    contexts, pool, taken = dict.fromkeys(SPACE, ""), [], []
    for template in templates:
        texts, questions = write(template, split, rng, taken)
        contexts = {language: context + "\n" * (context != "") for language, context in contexts.items()}
        for question in questions:
            if question["starts"]:
                question["starts"] = {language: start + len(contexts[language]) for language, start in question["starts"].items()}
        contexts = {language: context + texts[language] for language, context in contexts.items()}
        pool += questions
    chosen, rows = [], []
    for _ in range(min(len(pool), rng.randint(2, 4))):
        left = [question for question in pool if question not in chosen]
        chosen += rng.choices(left, [1 if question["starts"] else UNANSWERABLE[split] for question in left])
    for language, context in contexts.items():
        for number, question in enumerate(chosen, 1):
            start = question["starts"][language] if question["starts"] else None
            answer = context[start : start + question["length"][language]] if question["starts"] else None
            label = {"answer_start": start, "answer_text": answer, "answerable": answer is not None}
            if split == "transfer":
                label = dict.fromkeys(label)
            row = {"id": f"{name}-{number}-{language}", "passage": name, "language": language, "split": split, "context": context}
            row |= {"question": question["asked"][language], **label, "template": question["template"], "kind": question["kind"]}
            rows.append(row)
    return rows


def compose(seed: int = 0) -> list[dict[str, Any]]:
    """All rows, by split, passage and language."""
    rng, rows = random.Random(seed), []
    for split, count in PASSAGES.items():
        sources = (split, "train") if split == "transfer" else (split,)
        templates = [template for template in DATA["templates"] if template["split"] in sources]
        for number in range(1, count + 1):
            long = split == "test" and number > count - LONG
            chosen = rng.sample(templates, JOINED) if long else [templates[number % len(templates)]]
            rows += rows_of(f"{split}-{number:03d}", split, chosen, rng)
    return rows


if __name__ == "__main__":
    rows = compose()
    passages = {(r["passage"], r["language"]): {k: r[k] for k in ("passage", "language", "split", "context")} for r in rows}
    questions = [{key: value for key, value in row.items() if key != "context"} for row in rows]
    for file, lines in (("passages.jsonl", passages.values()), ("questions.jsonl", questions)):
        (HERE / file).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8", newline="\n")
