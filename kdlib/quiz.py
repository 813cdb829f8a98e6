"""Quizzes with an explanation for every option: the same files for JupyterLab and for the book.

A file has a ``title``, the numbers of the ``chapters`` that it asks about, and ``questions``, each with ``question``, ``options``
(each with ``text`` and ``why``, one of them with ``right: true``) and ``see``, the place to read again. Texts may hold `code`,
over several lines too, and *emphasis*. What a page needs beside the texts stands in quiz.css and quiz.js next to the quizzes.
"""

import hashlib
import json
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import yaml
from IPython.display import HTML

from .errors import explained, require
from .files import packaged


def load(source: Path | str) -> dict[str, Any]:
    """The quiz in a ``.yml`` file, or the kit's quiz of that name; raises ``InputError`` for what is no quiz."""
    remedy = "give a .yml file in UTF-8, or the name of a quiz of the kit, such as 1_foundations"
    with explained(f"The quiz {source} cannot be read", remedy, OSError, UnicodeError, yaml.YAMLError):
        path = Path(source) if str(source).endswith(".yml") else packaged("book", "quizzes", f"{source}.yml")
        quiz = yaml.safe_load(path.read_text(encoding="utf-8"))
    fine = isinstance(quiz, dict) and quiz.keys() == {"title", "chapters", "questions"}
    fine = fine and all(isinstance(quiz[key], list) and quiz[key] for key in ("chapters", "questions"))
    require(fine, f"{path.name} is no quiz: it needs a title, a list of chapters, a list of questions, and nothing else.")
    for number, question in enumerate(quiz["questions"], 1):
        where = f"Question {number} of {path.name}"
        fine = isinstance(question, dict) and question.keys() == {"question", "options", "see"}
        require(fine and isinstance(question["options"], list), f"{where} needs question, a list of options, and see, no more.")
        options = question["options"]
        fine = all(isinstance(option, dict) and option.keys() - {"right"} == {"text", "why"} for option in options)
        require(fine, f"{where}: each option needs text and why, the right one also right: true, and nothing else.")
        texts = [quiz["title"], question["question"], question["see"], *(o[key] for o in options for key in ("text", "why"))]
        odd = [text for text in texts if not isinstance(text, str) or not text.strip()]
        require(not odd, f"{where}: {odd[:1]} is no text; write one, in quotes where YAML takes it for something else.")
        require(len({option["text"] for option in options}) == len(options) > 1, f"{where} needs different options, two or more.")
        right = [option["right"] for option in options if "right" in option]
        require(right == [True], f"{where}: {right.count(True)} options say right: true; one has to, and the others leave it out.")
    return quiz


def to_html(quiz: dict[str, Any], say: Callable[[str], str] = lambda text: text) -> str:
    """A piece of HTML that works by itself in any page; ``say`` translates the words that are not the quiz's own."""
    style, script = (packaged("book", "quizzes", f"quiz.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js"))
    key = hashlib.sha256(json.dumps(quiz).encode()).hexdigest()[:12]  # another one in another language, or for other questions
    count, move = say("{right} of {all} right at the first try"), say("Arrow keys move between the options, Space chooses.")
    parts = [f"""<form class="kd-quiz" aria-label="{escape(quiz["title"])}" autocomplete="off"
data-key="kd-quiz-{key}" data-count="{escape(count)}">\n<style>\n{style}</style>\n<p>{escape(move)}
{escape(say("Your first tries stay in this browser."))}</p>"""]  # fmt: skip
    for number, question in enumerate(quiz["questions"], 1):
        right = next(place for place, option in enumerate(question["options"]) if "right" in option)
        parts.append(f'<fieldset data-right="{right}">\n<legend>{number}. {rendered(question["question"])}</legend>')
        for place, option in enumerate(question["options"]):
            mark, why = say("Right") if place == right else say("Not yet"), rendered(option["why"])
            parts.append(f"""<label><input type="radio" name="{number}" value="{place}" data-mark="{escape(mark)}"
data-why="{escape(why)}"><span>{rendered(option["text"])}</span><b></b></label>""")
        parts.append(f"""<div aria-live="polite"></div>
<p class="kd-see" hidden>{escape(say("Read again:"))} {rendered(question["see"])}</p>\n</fieldset>""")
    parts.append(f"""<p><output></output> <button type="reset">{escape(say("Start anew"))}</button></p>
<script>\n{script}</script>\n</form>\n""")
    return "\n".join(parts)


def rendered(text: str) -> str:
    """Plain text as HTML, with its `code` and *emphasis*."""
    pieces = re.split(r"`([^`]+)`", escape(text.strip()))
    for i, piece in enumerate(pieces):
        lines = ' class="kd-lines"' if "\n" in piece else ""
        pieces[i] = f"<code{lines}>{piece}</code>" if i % 2 else re.sub(r"\*([^*\s][^*]*)\*", r"<em>\1</em>", piece)
    return "".join(pieces)


def show(name: Path | str) -> HTML:
    """A quiz below the cell of a notebook."""
    return HTML(to_html(load(name)))
