"""The quizzes as pages of the book, from the same files as in JupyterLab."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from catalogues import ROOT

from kdlib import quiz

if TYPE_CHECKING:
    from assemble import Edition

SEE = re.compile(r'(?<=<p class="kd-see" hidden>).*?(?=</p>)', re.S)
CHAPTER = re.compile(r"(?:notebook|笔记本) ?(\d\d)")


def files() -> list[Path]:
    """All quizzes, in order."""
    return sorted(ROOT.glob("book/quizzes/*.yml"))


def pages(numbers: range) -> list[str]:
    """The pages of the quizzes whose last chapter is among these."""
    return [f"quizzes/{path.stem}" for path in files() if int(quiz.load(path)["chapters"][-1]) in numbers]


def write(edition: "Edition") -> None:
    """Write each quiz as a page of this edition; where it says what to read again, the chapter is a link."""
    chapters = {page.partition("/")[2][:2]: f"../{page}.html" for page in edition.pages.values() if page.startswith("notebooks/")}

    def linked(match: re.Match[str]) -> str:
        return f'<a href="{chapters[match[1]]}">{match[0]}</a>' if match[1] in chapters else match[0]

    for path in files():
        texts = yaml.safe_load(edition.translated(f"book/quizzes/{path.stem}"))
        html = SEE.sub(lambda match: CHAPTER.sub(linked, match[0]), quiz.to_html(texts, edition.say))
        edition.write(f"quizzes/{path.stem}", f"# {texts['title']}\n\n```{{raw}} html\n{html}```\n")
