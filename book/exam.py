"""The exam bank as a page for teachers: questions by chapter, model answers folded in. Its numbers are checked by tests/test_exam.py."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml
from catalogues import ROOT

if TYPE_CHECKING:
    from assemble import Edition

SOURCE = "book/instructor/exam"
LEVELS = ("remember", "understand", "apply", "analyse", "evaluate", "create")


def questions() -> list[dict[str, Any]]:
    """All questions, in English."""
    return yaml.safe_load((ROOT / f"{SOURCE}.yml").read_text(encoding="utf-8"))


def title(edition: "Edition", number: str) -> tuple[str, str]:
    """The question that a chapter asks, and the link to it."""
    path = next(ROOT.glob(f"notebooks/{number}_*.ipynb"))
    heading = "".join(json.loads(edition.translated(f"notebooks/{path.stem}"))["cells"][0]["source"]).splitlines()[0]
    return heading.removeprefix("# "), f"../notebooks/{path.stem}.ipynb"


def write(edition: "Edition") -> None:
    """Write the page of the exam bank in this edition's language."""
    say, bank = edition.say, yaml.safe_load(edition.translated(SOURCE))
    names = dict(zip(LEVELS, (say("remember"), say("understand"), say("apply"), say("analyse"), say("evaluate"), say("create")), strict=True))
    counts = Counter((entry["notebook"], entry["level"]) for entry in bank)
    chapters = sorted({entry["notebook"] for entry in bank})
    lines = [f"# {say('Exam questions with model answers')}", ""]
    lines += [say("Sixty questions on notebooks 01 to 09, for exams on paper; a pocket calculator is enough."), ""]
    lines += [say("The numbers of the model answers are computed anew by a test of the kit. Other answers with good reasons earn the same points."), ""]
    lines += [f"| | {' | '.join(f'[{number}]({title(edition, number)[1]})' for number in chapters)} |", "|---" * (len(chapters) + 1) + "|"]
    rows = {names[level]: [counts[number, level] or "" for number in chapters] for level in LEVELS}
    rows |= {say(what): [sum(entry[what] for entry in bank if entry["notebook"] == number) for number in chapters] for what in ("points", "minutes")}
    lines += [f"| {name} | {' | '.join(map(str, row))} |" for name, row in rows.items()]
    for number in chapters:
        lines += ["", f"## {number} · {title(edition, number)[0]}", ""]
        for entry in (entry for entry in bank if entry["notebook"] == number):
            cost = f"{entry['points']} {say('points')}, {entry['minutes']} {say('minutes')}"
            lines += [f"### {entry['id']} · {names[entry['level']]}", "", f"*{cost}*", "", entry["question"], ""]
            lines += [f"::::{{dropdown}} {say('Model answer')}", entry["answer"], "::::", ""]
    edition.write("instructor/exam", edition.chapters("\n".join(lines), "instructor/exam"))
