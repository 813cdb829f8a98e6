"""The slides without npm and browser: what the cells of a notebook say about them, and what becomes of the cells."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "book"))
import slides  # noqa: E402

TYPES = ("slide", "subslide", "fragment", "skip", "notes", "-")
DECKS = [path for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")) if '"slideshow"' in path.read_text(encoding="utf-8")]


def read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_the_first_notebook_has_slides() -> None:
    assert [path.stem for path in DECKS][:1] == ["00_start_here"]


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.stem)
def test_every_cell_says_whether_it_is_shown(path: Path) -> None:
    for cell in read(path):
        show = cell["metadata"]["slideshow"]
        assert show["slide_type"] in TYPES and show.keys() <= {"slide_type", "parts", "output_only"}
        blocks = "".join(cell["source"]).split("\n\n")
        places = [place for part in show.get("parts", {}).values() for place in part]
        assert len(set(places)) == len(places) and set(places) <= set(range(len(blocks))) and show.get("parts", {}).keys() <= set(TYPES)
        assert "output_only" not in show or (cell["cell_type"] == "code" and cell["outputs"])
        if show["slide_type"] != "skip" and cell["cell_type"] == "markdown":
            for part in show.get("parts", {"": range(len(blocks))}).values():
                assert sum(len(blocks[place].split()) for place in part) <= 110, "too much for a slide"


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.stem)
def test_no_text_is_lost_and_no_link_leads_nowhere(path: Path) -> None:
    cells = read(path)
    deck = slides.deck(copy.deepcopy(cells))
    kinds = [cell["metadata"]["slideshow"]["slide_type"] for cell in deck]
    assert kinds[0] == "slide" and kinds.count("slide") >= 5 and kinds.count("notes") >= 3
    said = "\n".join("".join(cell["source"]) for cell in deck)
    for cell in cells:
        if cell["cell_type"] == "markdown" and cell["metadata"]["slideshow"]["slide_type"] != "skip":
            for block in "".join(cell["source"]).split("\n\n"):
                assert "](" in block or block in said
    assert "](../" not in said and ".ipynb)" not in said
    for cell in deck:
        assert "href=" not in "".join("".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", []))
    for before, after in zip([cell for cell in cells if cell["cell_type"] == "code"], [cell for cell in deck if cell["cell_type"] == "code"], strict=True):
        assert before["source"] == after["source"]


def cell(kind: str, text: str, **show: Any) -> dict[str, Any]:
    made = {"cell_type": kind, "metadata": {"slideshow": show} if show else {}, "source": [text]}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def test_a_cell_falls_into_slides_and_notes() -> None:
    text = "## 1. A title\n\nA [word](../book/glossary.md#word) and a [work](https://arxiv.org/abs/1).\n\n**Guess before you run:** what?\n\nFor the speaker."
    made = slides.deck([cell("markdown", text, slide_type="slide", parts={"slide": [0, 1], "subslide": [2]}), cell("code", "1 + 1", slide_type="subslide", output_only=True),
                        cell("markdown", "Left out.")])  # fmt: skip
    assert [(each["metadata"]["slideshow"]["slide_type"], each["source"]) for each in made] == [
        ("slide", "## 1. A title\n\nA word and a [work](https://arxiv.org/abs/1)."),
        ("subslide", '<p class="running">1. A title</p>\n\n<div class="guess">\n\n**Guess before you run:** what?\n\n</div>'),
        ("notes", "For the speaker."),
        ("subslide", '<p class="running">1. A title</p>'),
        ("-", ["1 + 1"]),
        ("skip", "Left out."),
    ]
    assert made[4]["metadata"]["tags"] == ["output-only"]
