"""The catalogues of the translations, without building the site."""

import base64
import json
import re
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "book"))
import assemble  # noqa: E402
import catalogues  # noqa: E402

PAGE = """# A title

A paragraph with $x_1$ and `code`,
on two lines.

```sh
make report
```

$$y = x^2$$

$$y = x^2 \\text{ because it is so}$$

| term | meaning |
|---|---|
| <a id="t"></a>teacher | the larger model |

> a quotation
>
> of two paragraphs

- a list
- of two
"""


def same(text: str) -> str:
    return text


def test_a_message_is_a_block_a_row_or_a_formula_with_words() -> None:
    found: list[str] = []
    catalogues.translated(PAGE, lambda text: found.append(text) or text)  # type: ignore[func-returns-value]
    assert found == ["# A title", "A paragraph with $x_1$ and `code`,\non two lines.", "$$y = x^2 \\text{ because it is so}$$",
                     "| term | meaning |", '| <a id="t"></a>teacher | the larger model |', "> a quotation\n>\n> of two paragraphs", "- a list\n- of two"]


@pytest.mark.parametrize("name", catalogues.documents())
def test_a_document_translated_by_nothing_stays_as_it_is(name: str) -> None:
    path = catalogues.documents()[name]
    if path.suffix in (".md", ".ipynb"):
        assert catalogues.translate_document(path, same) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("translation", "wrong"), [
    ("## 标题 $T^2$ `x` [项](a.md#b)", ""),
    ("# 标题 $T^2$ `x` [项](a.md#b)", "without ## , new: # "),
    ("## 标题 $T^3$ `x` [项](a.md#b)", "without $T^2$, new: $T^3$"),
    ("## 标题 $T^2$ x [项](a.md#b)", "without `x`"),
    ("## 标题 $T^2$ `x` [项](a.md)", "without a.md#b, new: a.md"),
])  # fmt: skip
def test_a_translation_keeps_formulas_code_links_and_the_level(translation: str, wrong: str) -> None:
    assert catalogues.broken("## Title $T^2$ `x` [term](a.md#b)", translation) == wrong


def test_words_in_a_displayed_formula_may_change_and_nothing_else() -> None:
    assert catalogues.broken("$$a \\text{ if so}$$", "$$a \\text{ 如果}$$") == ""
    assert catalogues.broken("$$a \\text{ if so}$$", "$$b \\text{ 如果}$$") != ""


def test_every_message_is_translated_and_nothing_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    assert catalogues.share() == 0, capsys.readouterr().out


def test_no_catalogue_keeps_what_its_document_no_longer_says() -> None:
    for name, path in catalogues.documents().items():
        for language in catalogues.languages_of(name):
            assert catalogues.read(name, language).keys() <= set(catalogues.messages(path)), f"{name}: python book/catalogues.py update"
    known = {catalogues.catalogue(name, language) for name in catalogues.documents() for language in catalogues.languages_of(name)}
    assert set(catalogues.LOCALE.rglob("*.po")) == known


def test_the_chinese_notebooks_have_the_same_code_and_outputs(tmp_path: Path) -> None:
    catalogues.write_notebooks("zh_CN", tmp_path)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.ipynb"))
    assert written == sorted(name.removeprefix("notebooks/") + ".ipynb" for name in catalogues.documents() if name.startswith("notebooks/"))
    for name in written:
        english, chinese = (json.loads((folder / name).read_text(encoding="utf-8"))["cells"] for folder in (ROOT / "notebooks", tmp_path))
        pick: Callable[[list[dict[str, str]]], list[dict[str, str]]] = lambda cells: [cell for cell in cells if cell["cell_type"] == "code"]  # noqa: E731
        assert pick(english) == pick(chinese) and [cell["cell_type"] for cell in english] == [cell["cell_type"] for cell in chinese]
        prose = "".join("".join(cell["source"]) for cell in chinese if cell["cell_type"] == "markdown")
        assert len(re.findall(r"[一-鿿]", prose)) > 0.2 * len(re.sub(r"\(http[^)]*\)|\$[^$]*\$|`[^`]*`", "", prose))


def test_pictures_get_few_colours_and_stay_what_they_are() -> None:
    def encoded(picture: Image.Image) -> str:
        file = BytesIO()
        picture.save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode()

    drawn = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).resize((600, 400))
    small = assemble.few_colours(encoded(drawn))
    shown = Image.open(BytesIO(base64.b64decode(small)))
    assert len(small) < len(encoded(drawn)) / 2 and shown.size == drawn.size and len(shown.getcolors()) <= 256
    assert np.abs(np.asarray(shown.convert("RGB"), int) - np.asarray(drawn, int)).mean() < 20
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    assert assemble.few_colours(encoded(clear)) == encoded(clear)  # what is transparent stays so
