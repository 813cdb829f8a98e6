"""Translations of the book and the notebooks: gettext catalogues, one for each document, in locale/<language>/LC_MESSAGES/.

Run: python book/catalogues.py update     (new and changed texts go into the catalogues, untranslated)
     python book/catalogues.py share      (what share is translated; ends with 1 where something is missing or broken)
     python book/catalogues.py notebooks zh_CN OUTPUT      (the notebooks in Chinese: code and outputs are the same)

A message is a block of Markdown: what blank lines part from the next, or a row of a table. Code is no message, nor is a displayed
formula without words. The same catalogues serve the site and the notebooks, so a class can work in the language that it reads in.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polib
import yaml

ROOT = Path(__file__).parent.parent
LOCALE = ROOT / "book" / "locale"
INTERFACE = "book/interface"  # the short texts of scripts and of the site itself
GUIDE = {path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.glob("book/instructor/*.*")}  # in English alone
FRENCH = {"book/index", "book/glossary", "notebooks/07_case_study_zh_en_fr", INTERFACE}  # what has a French edition
CODE = {"check", "id", "level"}  # what programs read of an exam question
FENCE = re.compile(r" *(```|~~~)")
KEPT = re.compile(r"(?<!\\)\$\$?[^$]+\$\$?|`[^`]+`|\]\(([^)\s]+)\)|(?m:^#+ )")  # formulas, code, targets of links, levels of headings


OTHERS = {  # other documents of the repository, and their pages of the site
    "README.md": "index", "data/README.md": "cards/corpora", "data/diagnostics/README.md": "cards/diagnostics",
    "data/variants/README.md": "cards/variants", "data/counterfactual/README.md": "cards/counterfactual",
    "data/intents/README.md": "cards/intents", "data/facts/README.md": "cards/facts", "data/questions/README.md": "cards/questions",
    "data/dialogues/README.md": "cards/dialogues", "data/formats/README.md": "cards/formats",
    "data/teacher/README.md": "cards/teacher", "CHANGELOG.md": "changelog", "CONTRIBUTING.md": "contributing",
    "examples/service/README.md": "service",
}  # fmt: skip
FRENCH_PAGES = {name.removeprefix("book/") for name in FRENCH - {INTERFACE}}


def documents() -> dict[str, Path]:
    """What is translated: name (path without suffix) and file of the book's own pages, quizzes and exam, the notebooks and their solutions, and more."""
    patterns = ["book/*.md", "book/instructor/*.*", "book/quizzes/*.yml", "notebooks/[0-9]*.ipynb", "notebooks/solutions/[0-9]*.ipynb",
                "notebooks/reports/*.ipynb", *OTHERS]  # fmt: skip
    found = [path for pattern in patterns for path in ROOT.glob(pattern)]
    return {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in sorted(found)} | {INTERFACE: ROOT / "book"}


def blocks(markdown: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces which joined are the text, each with whether it is to be translated."""
    piece: list[str] = []
    inside = ""  # what closes the code or formula that we are in
    for line in markdown.splitlines(keepends=True):
        fence = FENCE.match(line)
        table = not inside and line.startswith("|")
        blank = not inside and not line.strip()
        if piece and (blank or table or (fence and not inside)):
            yield "".join(piece), is_message("".join(piece))
            piece = []
        piece.append(line)
        if fence:
            inside = "" if inside == fence[1] else inside or fence[1]
        elif inside in ("", "$$") and line.count("$$") % 2:
            inside = "" if inside else "$$"
        if blank or table or (fence and not inside):
            yield "".join(piece), table and is_message("".join(piece))
            piece = []
    if piece:
        yield "".join(piece), is_message("".join(piece))


def is_message(block: str) -> bool:
    """Has the block words of ours: no code, no formula without text, no rule of a table, no directive's options?"""
    text = block.strip()
    if FENCE.match(text) or re.fullmatch(r"[|:\- ]+", text):
        return False
    if text.startswith("$$") and text.endswith("$$") and text.count("$$") == 2:
        return bool(re.search(r"\\text\{[^}]*[a-z]{3}", text))
    return bool(re.search(r"[^\W\d_]{2}", text))


def translated(markdown: str, translate: Callable[[str], str]) -> str:
    """The text with each message, without the white space around it, put through ``translate``."""
    result = []
    for block, message in blocks(markdown):
        text = block.strip("\n")
        result.append(block.replace(text, translate(text)) if message else block)
    return "".join(result)


def interface() -> list[str]:
    """What goes through ``t("…")`` in a script of the site or ``say("…")`` in its programs, and the labels of the explorers' controls."""
    import assemble
    import explorers

    scripts, programs = (sorted((ROOT / "book").glob(pattern)) for pattern in ("_static/*.js", "*.py"))
    found = [text for path in scripts for text in re.findall(r"\bt\(\s*(\"(?:[^\"\\]|\\.)+\")", path.read_text(encoding="utf-8"))]
    found = [*map(json.loads, found)]
    for path in [*programs, *ROOT.glob("kdlib/quiz.py")]:
        found += [text for _, text in re.findall(r"\b(?:say|tree)\(([\"'])(.+?)\1", path.read_text(encoding="utf-8"))]
    return [*found, *(caption for caption, _ in assemble.PARTS), *explorers.labels()]


def translated_texts(part: Any, translate: Callable[[str], str]) -> Any:
    """A quiz or the exam, or a part of it, with each text that has words put through ``translate``; the numbers of its chapters have none."""
    if isinstance(part, dict):
        return {key: value if key in CODE else translated_texts(value, translate) for key, value in part.items()}
    if isinstance(part, list):
        return [translated_texts(value, translate) for value in part]
    return translate(part) if isinstance(part, str) and is_message(part) else part


def messages(path: Path) -> list[str]:
    """All messages of a document, each once, in their order."""
    if path.is_dir():
        return list(dict.fromkeys(interface()))
    found: list[str] = []
    translate_document(path, lambda text: found.append(text) or text)  # type: ignore[func-returns-value]
    return list(dict.fromkeys(found))


def translate_document(path: Path, translate: Callable[[str], str]) -> str:
    """A page, a notebook or a quiz with its texts put through ``translate``; of a notebook nothing but its Markdown changes."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return translated(text, translate)
    if path.suffix == ".yml":
        return yaml.safe_dump(translated_texts(yaml.safe_load(text), translate), allow_unicode=True, sort_keys=False)
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = translated("".join(cell["source"]), translate).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def catalogue(name: str, language: str) -> Path:
    """Where the catalogue of a document lies."""
    return LOCALE / language / "LC_MESSAGES" / f"{name}.po"


@cache
def read(name: str, language: str) -> dict[str, str]:
    """Message and translation, of those that are translated."""
    path = catalogue(name, language)
    return {entry.msgid: entry.msgstr for entry in polib.pofile(str(path)) if entry.translated()} if path.exists() else {}


def languages_of(name: str) -> list[str]:
    """The editions that a document has beside the English one."""
    return [] if name in GUIDE else ["zh_CN", "fr"] if name in FRENCH else ["zh_CN"]


def update() -> None:
    """Bring every catalogue in step with its document: what is new comes in empty, what is gone goes."""
    for name, path in documents().items():
        for language in languages_of(name):
            known, po = read(name, language), polib.POFile(wrapwidth=0)
            po.metadata = {"Language": language, "MIME-Version": "1.0", "Content-Type": "text/plain; charset=utf-8",
                           "Content-Transfer-Encoding": "8bit"}  # fmt: skip
            po.extend(polib.POEntry(msgid=text, msgstr=known.get(text, "")) for text in messages(path))
            catalogue(name, language).parent.mkdir(parents=True, exist_ok=True)
            po.save(str(catalogue(name, language)))


def broken(message: str, translation: str) -> str:
    """What a translation has lost or added of formulas, code, links and the level of its heading; empty if nothing."""
    wordless = (re.sub(r"\\text\{[^}]*\}", "", text) for text in (message, translation))
    before, after = (Counter(match[1] or match[0] for match in KEPT.finditer(text)) for text in wordless)
    return ", ".join([f"without {what}" for what in before - after] + [f"new: {what}" for what in after - before])


def share() -> int:
    """Print the share of messages that is translated, and what is wrong with translations; 1 if anything is."""
    faults, counts = [], {}
    for name, path in documents().items():
        for language in languages_of(name):
            known, wanted = read(name, language), messages(path)
            done, total = counts.get(language, (0, 0))
            counts[language] = done + len(known.keys() & set(wanted)), total + len(wanted)
            faults += [f"{name} ({language}): not translated: {text[:80]!r}" for text in wanted if text not in known]
            faults += [f"{name} ({language}): {what}: {text[:80]!r}" for text in wanted if text in known and (what := broken(text, known[text]))]
    for language, (done, total) in counts.items():
        print(f"{language}: {done} of {total} messages translated ({100 * done / total:.1f} %)")
    print("\n".join(faults[:20]))
    return int(bool(faults))


def write_notebooks(language: str, output: Path) -> None:
    """The notebooks in another language; names of files stay, so links between them hold."""
    for name, path in documents().items():
        if name.startswith("notebooks/"):
            known = read(name, language)
            target = output / f"{name.removeprefix('notebooks/')}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(translate_document(path, lambda text, known=known: known.get(text, text)), encoding="utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["update"]:
            update()
        case ["share"]:
            sys.exit(share())
        case ["notebooks", language, output]:
            write_notebooks(language, Path(output))
        case _:
            sys.exit(__doc__)
