"""What every numbered notebook and its solutions keep to, read from the committed files; nbval runs them (`make test`)."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("[0-9]*.ipynb"))
EXERCISE = re.compile(r"^### Exercise (\d+)\.(\d+) — (recall|apply|extend): .+", re.MULTILINE)
FIGURE = re.compile(r"^\*Figure (\d+\.\d+): .{60,}\*$", re.MULTILINE | re.DOTALL)
ARXIV = re.compile(r"arxiv\.org/abs/(\d{4}\.\d{4,5})")
PATH = re.compile(r"/(home|root|tmp|work|Users)/|C:\\\\")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook.cells


def tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def printed(cell: Any) -> list[str]:
    """The lines of text that a cell shows; figures, tables in HTML and widgets show none."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        texts.append(output.get("text", "") or (data["text/plain"] if data.keys() == {"text/plain"} else ""))
    return [line for text in texts for line in text.splitlines() if line.strip()]


def exercises(path: Path) -> dict[str, list[Any]]:
    """By number: the code cells between one exercise's heading and the next heading."""
    found: dict[str, list[Any]] = {}
    current = None
    for cell in read(path):
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ .+", cell.source, re.MULTILINE)
            match = EXERCISE.search(cell.source)
            current = f"{match[1]}.{match[2]}" if match else None if headings else current
            if current:
                found.setdefault(current, [])
        elif current:
            found[current].append(cell)
    return found


@every_notebook
def test_it_asks_a_question_lets_the_reader_guess_and_sums_up(path: Path) -> None:
    cells = read(path)
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert re.match(r"# .+\?\n\n> \*\*You will be able to\*\*", cells[0].source)
    assert text.count("**Guess before you run") >= 4
    for heading in ("## In five lines", "## Exercises", "## Further reading"):
        assert heading in text
    assert len(re.findall(r"^[1-5]\. ", text.split("## In five lines")[1].split("\n#")[0], re.MULTILINE)) == 5


@every_notebook
def test_it_is_clean(path: Path) -> None:
    assert path.stat().st_size < 1_000_000
    for cell in read(path):
        outputs = cell.get("outputs", [])
        assert not PATH.search(cell.source) and not PATH.search("\n".join(printed(cell))), cell.source
        assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"], cell.source
        assert "execution" not in cell.metadata, "remove the times of execution"
        if cell.cell_type == "code" and "check" not in tags(cell):
            assert len([line for line in cell.source.splitlines() if line.strip()]) <= 24, cell.source


@every_notebook
def test_nbval_has_facts_to_compare(path: Path) -> None:
    speaking = [cell for cell in read(path) if cell.cell_type == "code" and printed(cell)]
    compared = [cell for cell in speaking if "nbval-ignore-output" not in tags(cell)]
    assert len(compared) >= 0.85 * len(speaking)
    assert sum(len(printed(cell)) for cell in compared) >= 8


@every_notebook
def test_each_figure_has_a_caption_that_says_what_is_seen(path: Path) -> None:
    cells = read(path)
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        pictures = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        if pictures and following is not None:
            assert following.cell_type == "markdown" and FIGURE.search(following.source), cell.source


@every_notebook
def test_an_exercise_starts_wrong_and_its_solution_passes_the_same_check(path: Path) -> None:
    asked, solved = exercises(path), exercises(path.parent / "solutions" / path.name)
    assert len(asked) >= 3 and asked.keys() == solved.keys()
    kinds = {match[3] for cell in read(path) if cell.cell_type == "markdown" for match in EXERCISE.finditer(cell.source)}
    assert kinds == {"recall", "apply", "extend"}
    for number, cells in asked.items():
        check, answer = cells[-1], solved[number][-1]
        assert "exercise" in tags(cells[0]) and "check" in tags(check) and "check" in tags(answer), number
        assert all(cell.metadata.get("jupyter", {}).get("source_hidden") for cell in (check, answer)), f"fold the check of {number}"
        assert check.source == answer.source, f"the check of exercise {number} is another one in the solutions"
        assert [line.startswith("Not yet") for line in printed(check)] == [True], number
        assert [line.startswith("Right") for line in printed(answer)] == [True], number
        assert not any("nbval-ignore-output" in tags(cell) for cell in (check, answer)), number


@every_notebook
def test_what_is_cited_from_arxiv_is_among_the_references(path: Path) -> None:
    references = (path.parent.parent / "book" / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{(\S+),$", references, re.MULTILINE)
    assert len(set(keys)) == len(keys)
    cited = {number for cell in read(path) if cell.cell_type == "markdown" for number in ARXIV.findall(cell.source)}
    assert cited <= set(re.findall(r"eprint\s*=\s*\{(\S+)\}", references))


def test_terms_and_glossary_link_to_each_other() -> None:
    glossary = (NOTEBOOKS[0].parent.parent / "book" / "glossary.md").read_text(encoding="utf-8")
    first_in = dict(re.findall(r'^\| <a id="(\S+)"></a>.*\]\(\.\./notebooks/(\S+)\)', glossary, re.MULTILINE))
    terms = [line for line in glossary.splitlines() if "](../notebooks/" in line]
    assert len(first_in) == len(terms) >= 80
    linked = {path.name: set(re.findall(r"\(\.\./book/glossary\.md#([^)]+)\)", path.read_text(encoding="utf-8"))) for path in NOTEBOOKS}
    assert not [(term, name) for term, name in first_in.items() if term not in linked[name]]
    assert set().union(*linked.values()) <= first_in.keys()
    for term, name in re.findall(r'^\| <a id="\S+"></a>([^|(]+?) [|(].*\]\(\.\./notebooks/(\S+)\)', glossary, re.MULTILINE):
        for path in NOTEBOOKS[: [path.name for path in NOTEBOOKS].index(name)]:
            text = "\n".join(cell.source for cell in read(path) if cell.cell_type == "markdown").split("## In five lines")[0]
            assert not re.search(rf"\*\*\[?{re.escape(term)}(\]|\*\*)", text, re.IGNORECASE), f"{term} occurs first in {path.name}"


def test_the_series_has_exercises_and_explorers_enough() -> None:
    code = ["\n".join(cell.source for cell in read(path) if cell.cell_type == "code") for path in NOTEBOOKS]
    assert sum(len(exercises(path)) for path in NOTEBOOKS) >= 30
    assert sum(len(re.findall(r"^explore\(", source, re.MULTILINE)) for source in code) >= 8
