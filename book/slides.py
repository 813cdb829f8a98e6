"""Slides of a notebook that need no network: python book/slides.py [NOTEBOOK]   (make slides)

The cells say in their metadata what goes on a slide. "slideshow" has Jupyter's own "slide_type"; beside it "parts" names the blocks of a
text (what blank lines part, from 0) that make a slide, a subslide or a fragment, where its other blocks become speaker notes, and
"output_only" leaves the code out. `jupyter nbconvert` writes the page; reveal.js and MathJax are copied beside it.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from assemble import LINK, caption_after
from catalogues import ROOT
from vendor import vendor

SLIDES = ROOT / "book" / "_build" / "slides"
RUNNING = '<p class="running">{}</p>'
GUESS = re.compile(r"(?!>)[^\n]*\*\*[^*\n]+[:：]\*\*")  # a text with a bold call such as **Guess before you run:**


def text_cell(kind: str, blocks: list[str]) -> dict[str, Any]:
    """Blocks of text as a cell of this kind; what asks for a guess gets a box of its own."""
    boxed = [f'<div class="guess">\n\n{block}\n\n</div>' if GUESS.match(block) else block for block in blocks]
    return {"cell_type": "markdown", "metadata": {"slideshow": {"slide_type": kind}}, "source": "\n\n".join(boxed)}


def deck(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells of a notebook as those of its slides, without links to files that are not there; what has no heading says where it belongs."""
    result: list[dict[str, Any]] = []
    section = ""
    for i, cell in enumerate(cells):
        show = {"slide_type": "skip"} | cell["metadata"].get("slideshow", {})
        if cell["cell_type"] == "markdown":
            blocks = LINK.sub(lambda found: found[0] if "://" in found[3] else found[2], "".join(cell["source"])).split("\n\n")
            parts = show.get("parts", {show["slide_type"]: range(len(blocks))})
            for kind, places in parts.items():
                shown = [blocks[place] for place in places]
                if kind == "slide" and shown[0].startswith("#"):
                    section = shown[0].lstrip("# ")
                elif kind in ("slide", "subslide") and not shown[0].startswith("#"):
                    shown = [RUNNING.format(section), *shown]
                result.append(text_cell(kind, shown))
            left = [block for place, block in enumerate(blocks) if not any(place in places for places in parts.values())]
            result += [text_cell("notes", left)] if left else []
            continue
        if show["slide_type"] in ("slide", "subslide"):
            result.append(text_cell(show["slide_type"], [RUNNING.format(section)]))
            show = show | {"slide_type": "-"}
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                output["metadata"] = {"image/png": {"alt": caption_after(cells[i + 1 :])}}
            if "text/html" in data:
                data["text/html"] = re.sub(r' href="[^"]*"', "", "".join(data["text/html"]))
        result.append({**cell, "metadata": {"slideshow": show, "tags": ["output-only"] if show.get("output_only") else []}})
    return [{**cell, "id": f"cell-{place}"} for place, cell in enumerate(result)]


def write(notebook: Path, folder: Path) -> Path:
    """Write the slides of a notebook and what they load into ``folder``; raises ``CalledProcessError`` where nbconvert fails."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    content["cells"] = deck(content["cells"])
    for package, place in (("reveal.js", "reveal/dist"), ("mathjax", "mathjax")):
        shutil.copytree(vendor(package), folder / place, dirs_exist_ok=True)
    shutil.copy(ROOT / "book" / "_static" / "slides.css", folder)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, notebook.name)
        source.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        command = [sys.executable, "-m", "nbconvert", "--to", "slides", str(source), "--output-dir", str(folder), "--log-level", "WARN",
                   "--template", "slides", f"--TemplateExporter.extra_template_basedirs={ROOT / 'book' / '_templates'}",
                   "--SlidesExporter.reveal_url_prefix=reveal", "--SlidesExporter.reveal_theme=white", "--SlidesExporter.mathjax_url=mathjax/tex-mml-chtml.js",
                   "--TagRemovePreprocessor.enabled=True", "--TagRemovePreprocessor.remove_input_tags=output-only"]  # fmt: skip
        subprocess.run(command, check=True)
    return folder / f"{notebook.stem}.slides.html"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebook", type=Path, nargs="?", default=ROOT / "notebooks" / "00_start_here.ipynb")
    print(write(parser.parse_args().notebook, SLIDES).relative_to(ROOT))
