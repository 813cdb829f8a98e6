"""The pages of one edition, put together from the notebooks, the book's own pages, data cards, README and references.

Sphinx reads what this writes. A page is a committed document, translated by its catalogue, whose links are turned to pages of the
site: between notebooks, into the glossary, from a citation to its entry in the references. Chapters get their solutions folded in,
texts for their figures, the explorers that compute in the page, and a link to the notebook itself.
"""

import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import catalogues
import exam
import explorers
import quizzes
from catalogues import ROOT
from PIL import Image
from pybtex.database import BibliographyData, parse_file
from pybtex.plugin import find_plugin

PARTS = [("Foundations", range(0, 5)), ("One teacher, three students", range(5, 8)), ("Out into the world", range(8, 10)),
         ("What distillation cannot do", range(10, 15)), ("Other tasks", range(15, 100))]  # fmt: skip
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
CHAPTER = re.compile(r"(?<![\w/])(notebooks?|笔记本) ?(\d\d)\b")
CARD = re.compile(r"^:link: (\S+)\n:link-type: doc$", re.M)
PICTURE = re.compile(r'("image/png": ")([^"]+)')
NAMED = re.compile(r"`(?:notebooks/|solutions/)?(\d\d_\w+)\.ipynb`")


class Edition:
    """What the pages of one edition have in common: its language, the catalogues, where a document of the repository has its page."""

    def __init__(self, language: str, folder: Path) -> None:
        self.language, self.folder = language, folder
        self.pages = dict(catalogues.OTHERS)
        for name, path in catalogues.documents().items():
            if path.parent.name in ("notebooks", "book", "instructor"):
                self.pages[path.relative_to(ROOT).as_posix()] = name.removeprefix("book/")
            elif path.parent.name == "solutions":  # folded into their chapter
                self.pages[path.relative_to(ROOT).as_posix()] = f"notebooks/{path.stem}"
        self.words = catalogues.read("book/interface", language)
        self.written: set[str] = set()

    def say(self, text: str) -> str:
        """A word of the site's own, in this language."""
        return self.words.get(text, text)

    def has(self, page: str) -> bool:
        """The French edition has three pages, the Chinese one all but the guide; they send the reader to the English ones for the others."""
        if f"book/{page}" in catalogues.GUIDE:
            return self.language == "en"
        return self.language != "fr" or page in catalogues.FRENCH_PAGES

    def target(self, path: str, page: str) -> str | None:
        """The link from ``page`` to the page of the document ``path``, None where it has none."""
        to = self.pages.get(path)
        if to is None:
            return None
        if self.has(to):
            suffix = ".ipynb" if to.startswith("notebooks/") else ".md"
            return os.path.relpath(to + suffix, os.path.dirname(page) or ".")
        return "english:" + os.path.relpath(f"../{to}.html", os.path.dirname(page) or ".")

    def linked(self, markdown: str, source: str, page: str) -> str:
        """Links of the document ``source`` as links of its ``page``."""
        home = os.path.dirname(source)

        def turn(match: re.Match[str]) -> str:
            picture, text, url = match.groups()
            path, _, anchor = url.partition("#")
            if "://" in url or not path:
                key = works().get(url)
                if key is None or picture or not self.has("references"):
                    return match[0]
                return f"[{text}]({os.path.relpath('references.md', os.path.dirname(page) or '.')}#{key})"
            path = os.path.normpath(os.path.join(home, path))
            if picture:
                copy = self.folder / "pictures" / os.path.basename(path)
                keep(copy, (ROOT / path).read_bytes())
                return f"![{text}]({os.path.relpath(copy, self.folder / os.path.dirname(page))})"
            target = self.target(path, page)
            if target is None:  # a file of the repository that has no page
                return f"{text} (`{path}`)"
            return f"[{text}]({target}{'#' * bool(anchor)}{anchor})"

        return outside_code(markdown, lambda text: LINK.sub(turn, text))

    def chapters(self, markdown: str, page: str) -> str:
        """``notebook 03`` and `03_….ipynb` as links, outside of code, formulas, headings and links."""
        numbered = {path.stem[:2]: path.relative_to(ROOT).as_posix() for path in notebooks()}

        def link(match: re.Match[str]) -> str:
            number = match[2] if match.re is CHAPTER else match[1][:2]
            if number not in numbered or self.pages[numbered[number]] == page:
                return match[0]
            text = match[0].replace("`", "") if match.re is NAMED else match[0]
            return f"[{text}]({self.target(numbered[number], page)})"

        linked = re.compile(r"(\[[^\]]*\]\([^)]*\)|`[^`]*`|\$[^$]+\$|^#.*$)", re.M)

        def one(text: str) -> str:
            pieces = linked.split(text)
            return "".join(NAMED.sub(link, piece) if i % 2 else CHAPTER.sub(link, piece) for i, piece in enumerate(pieces))

        return outside_code(markdown, one)

    def write(self, page: str, text: str) -> None:
        """Write the source of a page."""
        suffix = ".ipynb" if text.startswith("{") else ".md"
        self.written.add(page)
        keep(self.folder / f"{page}{suffix}", text.encode())

    def translated(self, name: str) -> str:
        """A document in this language."""
        path, known = catalogues.documents()[name], catalogues.read(name, self.language)
        text = catalogues.translate_document(path, lambda text: known.get(text, text))
        return PICTURE.sub(lambda found: found[1] + few_colours(found[2]), text) if path.suffix == ".ipynb" else text


@cache
def few_colours(png: str) -> str:
    """A picture of a notebook in 256 colours, if it is opaque: it looks the same and takes less than half of the bytes, four times in the site."""
    picture, small = Image.open(BytesIO(b64decode(png.replace("\\n", "")))), BytesIO()
    if picture.convert("RGBA").getextrema()[3] != (255, 255):
        return png
    picture.convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return min(b64encode(small.getvalue()).decode(), png, key=len)


def keep(path: Path, content: bytes) -> None:
    """Write a file, and leave it alone where nothing has changed: Sphinx then reads it no more."""
    if not (path.exists() and path.read_bytes() == content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """The Markdown with ``change`` done to all that does not stand in a fenced block."""
    parts = re.split(r"(^ *(`{3,}|~{3,})[\s\S]*?^ *\2 *$)", markdown, flags=re.M)
    return "".join(change(part) if i % 3 == 0 else part if i % 3 == 1 else "" for i, part in enumerate(parts))


def notebooks() -> list[Path]:
    """The chapters, in order."""
    return sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))


@cache
def bibliography() -> BibliographyData:
    """All works that are cited."""
    return parse_file(str(ROOT / "book" / "references.bib"))


@cache
def works() -> dict[str, str]:
    """Address of a work, as the notebooks link it, and its key."""
    found = {}
    for key, entry in bibliography().entries.items():
        fields = entry.fields
        found |= {f"https://arxiv.org/abs/{fields['eprint']}": key} if "eprint" in fields else {}
        found |= {f"https://doi.org/{fields['doi']}": key} if "doi" in fields else {}
        found |= {fields["url"]: key} if "url" in fields else {}
    return found


def chapter(edition: Edition, path: Path) -> None:
    """A notebook as a chapter, with its solutions."""
    name = f"notebooks/{path.stem}"
    source = path.relative_to(ROOT).as_posix()
    cells = json.loads(edition.translated(name))["cells"]
    solutions = solutions_of(edition, path.stem)
    result: list[dict[str, Any]] = []
    exercise = ""
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            exercise = next(reversed(re.findall(r"^### \S+ (\d+\.\d+)", text, re.M)), exercise)
            text = edition.chapters(edition.linked(text, source, name), name)
            result.append({**cell, "source": text if i else with_download(edition, text, path)})
            continue
        tags = cell["metadata"].get("tags", [])
        new = {**cell, "metadata": {"tags": [*tags, "hide-input"] if "check" in tags else tags}}
        new["outputs"] = [output for output in cell["outputs"] if "application/vnd.jupyter.widget-view+json" not in output.get("data", {})]
        for output in new["outputs"]:
            if "text/html" in output.get("data", {}):  # the map of notebook 00
                output["data"]["text/html"] = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', "".join(output["data"]["text/html"]))
        caption = caption_after(cells[i + 1 :])
        if any("image/png" in output.get("data", {}) for output in new["outputs"]):
            new["metadata"]["mystnb"] = {"image": {"alt": caption or edition.say("Figure drawn by the code above")}}
        result.append(new)
        if "explore(" in "".join(cell["source"]):
            live = explorers.container(path.stem, "".join(cell["source"]))
            note = edition.say("This figure has controls: open the notebook to move them.")
            result.append(markdown_cell(f"```{{raw}} html\n{live}\n```" if live else f"*{note}*"))
        if "check" in tags and exercise in solutions:
            result.append(markdown_cell(f"::::{{dropdown}} {edition.say('Solution')} {exercise}\n{solutions.pop(exercise)}\n::::"))
    cells = [{**cell, "id": f"cell-{i}"} for i, cell in enumerate(result)]
    edition.write(name, json.dumps({"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5}, ensure_ascii=False, indent=1))


KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python", "pygments_lexer": "ipython3"}}


def markdown_cell(text: str) -> dict[str, Any]:
    """A cell of our own."""
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def caption_after(cells: list[dict[str, Any]]) -> str:
    """What the caption of a figure says, without its markup; empty if the next text is no caption."""
    text = next(("".join(cell["source"]) for cell in cells[:1] if cell["cell_type"] == "markdown"), "")
    caption = re.match(r"\*(\S+ \d+\.\d+[\s\S]*?)\*(?:\n\n|$)", text)
    return re.sub(r"[*`$\\]|\]\([^)]*\)|\[", "", caption[1]) if caption else ""


def with_download(edition: Edition, text: str, path: Path) -> str:
    """The first cell of a chapter with a link to the notebook, below its title."""
    title, _, rest = text.partition("\n")
    keep(edition.folder / "downloads" / path.name, edition.translated(f"notebooks/{path.stem}").encode())
    heading = re.sub(r"^# ", f"# {path.stem[:2]} · ", title)
    return f"{heading}\n\n{edition.say('Open this notebook:')} {{download}}`{path.name} <../downloads/{path.name}>`\n{rest}"


def solutions_of(edition: Edition, stem: str) -> dict[str, str]:
    """Number of an exercise and its worked solution, as Markdown."""
    path, name = ROOT / "notebooks" / "solutions" / f"{stem}.ipynb", f"notebooks/{stem}"
    found: dict[str, str] = {}
    number = ""
    for cell in json.loads(edition.translated(f"notebooks/solutions/{stem}"))["cells"] if path.exists() else []:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = re.match(r"### \S+ (\d+\.\d+)[^\n]*\n", text)
            number = heading[1] if heading else number
            text = edition.chapters(edition.linked(text[heading.end() :] if heading else text, path.relative_to(ROOT).as_posix(), name), name)
        elif "solution" in cell["metadata"].get("tags", []):
            text = f"```python\n{text}\n```"
        else:
            continue
        if number:
            found[number] = f"{found.get(number, '')}\n{text.strip()}\n"
    return found


def references(edition: Edition) -> None:
    """Every work that a notebook or a page cites, with the places that cite it."""
    style = find_plugin("pybtex.style.formatting", "plain")()
    backend = find_plugin("pybtex.backends", "markdown")()
    cited: dict[str, list[str]] = {key: [] for key in bibliography().entries}
    for path in [*notebooks(), *own_pages()]:
        urls = set(re.findall(r"\]\((https?://[^)\s]+)\)", path.read_text(encoding="utf-8")))
        for key in {works()[url] for url in urls & works().keys()}:
            cited[key].append(path.relative_to(ROOT).as_posix())
    lines = [f"# {edition.say('References')}", "", edition.say("Every work that the book cites, with the chapters that cite it."), ""]
    for entry in style.format_bibliography(bibliography()):
        text = entry.text.render(backend).replace("\\", "")
        places = ", ".join(f"[{Path(path).stem[:2] if path.endswith('.ipynb') else Path(path).stem}]({edition.target(path, 'references')})"
                           for path in cited[entry.key])  # fmt: skip
        lines += [f"({entry.key})=", f"{text} *{edition.say('Cited in')}* {places}." if places else text, ""]
    edition.write("references", "\n".join(lines))


def glossary(edition: Edition) -> None:
    """The glossary; its anchors become targets that Sphinx checks."""
    text = edition.linked(edition.translated("book/glossary"), "book/glossary.md", "glossary")
    edition.write("glossary", re.sub(r'<a id="(\S+?)"></a>([^|]+?) \|', r"[\2]{#\1} |", text))


def sections(edition: Edition) -> dict[str, str]:
    """The README's sections by their English title, translated: what the site says once in the README is not written twice."""
    known = catalogues.read("README", edition.language)
    english = re.split(r"^(?=## )", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)
    return {part.splitlines()[0].removeprefix("## "): catalogues.translated(part, lambda text: known.get(text, text)) for part in english}


def own_pages() -> list[Path]:
    """The pages that were written for the site, the guide for lecturers among them."""
    return sorted([*ROOT.glob("book/*.md"), *ROOT.glob("book/instructor/*.md")])


def page(edition: Edition, path: Path) -> None:
    """A page of book/: a line ``<!-- README: title -->`` is replaced by that section of the README, without its heading."""
    name = path.relative_to(ROOT / "book").with_suffix("").as_posix()
    text = edition.linked(edition.translated(f"book/{name}"), f"book/{name}.md", name)
    parts = sections(edition)

    def section(match: re.Match[str]) -> str:
        return edition.linked(parts[match[1]].partition("\n")[2].strip(), "README.md", name)

    text = re.sub(r"<!-- README: (.+?) -->", section, text)
    text = CARD.sub(lambda match: match[0] if edition.has(match[1]) else f":link: ../{match[1]}.html\n:link-type: url", text)
    text = text.replace("<!-- contents -->", contents(edition))
    edition.write(name, edition.chapters(text, name))


def contents(edition: Edition) -> str:
    """The tables of contents of the site: every chapter by its number, then the other pages."""
    def tree(caption: str, entries: list[str]) -> str:
        return "\n".join(["```{toctree}", ":hidden:", f":caption: {edition.say(caption)}", "", *entries, "```", ""])

    if edition.language == "fr":
        return tree("One teacher, three students", ["notebooks/07_case_study_zh_en_fr", "glossary"])
    guide = [name for name in ("instructor/index", "instructor/exam") if edition.has(name)][:1]  # the guide's own contents list its other pages
    trees = [tree("Start", ["use", *guide, "live_student"])]
    for caption, numbers in PARTS:
        part = [f"notebooks/{path.stem}" for path in notebooks() if int(path.stem[:2]) in numbers]
        if part:
            trees.append(tree(caption, part + quizzes.pages(numbers)))
    report = ["report"] if "report" in edition.written else []
    trees.append(tree("Results", [*report, "results", "scaling", "own_data"]))
    trees.append(tree("Look it up", ["glossary", "references", "api", "cards/corpora", "cards/diagnostics", "cards/variants", "cards/counterfactual",
                                     "cards/intents", "cards/facts", "cards/questions", "cards/dialogues", "cards/formats", "cards/teacher",
                                     *(f"cards/student_{code}" for code in ("zh", "en", "fr") if f"cards/student_{code}" in edition.written),
                                     "service", "contributing", "changelog", "licences"]))  # fmt: skip
    return "\n".join(trees)


def api(edition: Edition) -> None:
    """One section for each module of kdlib, from its docstrings."""
    files = [path.relative_to(ROOT / "kdlib").with_suffix("") for path in sorted((ROOT / "kdlib").rglob("[a-z]*.py"))]
    modules = [".".join(path.parts) for path in files if path.stem != "cli"]
    lines = [f"# {edition.say('The package kdlib')}", "", edition.say("What the notebooks import, from the docstrings."), ""]
    for module in modules:
        lines += [f"## kdlib.{module}", "", "```{eval-rst}", f".. automodule:: kdlib.{module}", "```", ""]
    edition.write("api", "\n".join(lines))


def assemble(edition: Edition, report: Path | None) -> None:
    """Write the sources of all pages of an edition; ``report`` is what kdlib report wrote, None where there is none."""
    if edition.has("report") and report:
        executed = next(report.glob("*.ipynb"))
        known = catalogues.read("notebooks/reports/distillation_report", edition.language)
        edition.write("report", catalogues.translate_document(executed, lambda text: known.get(text, text)))
        for card in sorted((report / "students").glob("*/README.md")):
            text = re.sub(r"^---\n[\s\S]*?\n---\n", "", card.read_text(encoding="utf-8"))
            edition.write(f"cards/student_{card.parent.name}", text)
    for path in notebooks():
        if edition.has(f"notebooks/{path.stem}"):
            chapter(edition, path)
    glossary(edition)
    for path in own_pages():
        if edition.has(path.relative_to(ROOT / "book").with_suffix("").as_posix()) and path.stem != "glossary":
            page(edition, path)
    if edition.language != "fr":
        references(edition)
        api(edition)
        quizzes.write(edition)
        if edition.has("instructor/exam"):
            exam.write(edition)
        for source, name in catalogues.OTHERS.items():
            if name != "index":
                edition.write(name, edition.linked(edition.translated(source.removesuffix(".md")), source, name))
