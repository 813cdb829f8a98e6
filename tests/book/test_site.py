"""The built site in a real browser: links, other hosts, errors, search, accessibility, weight, editions.

Run: make report book test-book
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlparse

import nbformat
import pytest
from vendor import vendor

PAGES = ["index", "use", "live_student", "notebooks/02_softmax_and_temperature", "notebooks/07_case_study_zh_en_fr", "quizzes/1_foundations",
         "results", "glossary", "references", "api", "cards/corpora", "licences"]  # fmt: skip
KINDS = [*PAGES, "search", *(f"zh/{page}" for page in PAGES), "fr/index", "fr/glossary", "fr/notebooks/07_case_study_zh_en_fr"]
SEARCHES = {"": {"temperature": "02_", "softmax": "02_", "divergence": "03_", "logit": "02_", "bootstrap": "07_", "fertility": "05_",
                 "calibration": "07_", "quantisation": "09_", "checkpointing": "08_", "drift": "09_"},
            "zh/": {"温度": "02_", "知识蒸馏": "index", "软目标": "02_", "散度": "03_", "交叉熵": "04_", "注意力掩码": "05_", "自助法": "07_", "量化": "09_",
                    "梯度累积": "08_", "校准": "07_", "softmax": "02_"}}  # fmt: skip


class Page(HTMLParser):
    """Ids, and addresses of what a page links to or loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.headings, self.inside = 0, False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        values = dict(attrs)
        self.ids |= {values[name] or "" for name in ("id", "name") if name in values}
        self.inside = self.inside or tag == "article"
        self.headings += tag == "h1" and self.inside  # another one, above, is for print
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        if tag in ("script", "img", "source", "iframe") and values.get("src"):
            self.loads.append(values["src"] or "")
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "shortcut icon", "preload"):
            self.loads.append(values["href"] or "")


@cache
def parsed(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def pages(html: Path) -> list[Path]:
    """All pages that Sphinx wrote."""
    return [path for path in sorted(html.rglob("*.html")) if "assets" not in path.parts and "_static" not in path.parts]


def test_every_internal_link_leads_to_a_page_and_a_place_on_it(html: Path) -> None:
    broken = []
    for path in pages(html):
        for link in [*parsed(path).links, *parsed(path).loads]:
            url = urlparse(link)
            if url.scheme in ("http", "https", "mailto", "data", "javascript"):
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if not target.is_file():
                broken.append(f"{path.relative_to(html)}: {link}")
            elif url.fragment and target.suffix == ".html" and unquote(url.fragment) not in parsed(target).ids:
                broken.append(f"{path.relative_to(html)}: {link} (no such place)")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(html: Path) -> None:
    assert [f"{path.name}: {load}" for path in pages(html) for load in parsed(path).loads if urlparse(load).netloc] == []


def test_every_page_has_one_title(html: Path) -> None:
    without = {path.relative_to(html).as_posix() for path in pages(html) if parsed(path).headings != 1}
    assert {name for name in without if not re.search(r"(genindex|py-modindex|search|_modules/.*)\.html", name)} == set()


def test_no_page_is_heavy_and_the_site_fits_a_stick(html: Path) -> None:
    assert {path.name: size for path in pages(html) if (size := path.stat().st_size) > 2e6} == {}
    assert sum(path.stat().st_size for path in html.rglob("*") if path.is_file()) < 80e6


def test_a_chapter_brings_its_notebook(html: Path) -> None:
    for edition in ("", "zh/"):
        for path in sorted((html / edition / "notebooks").glob("*.html")):
            (link,) = (link for link in parsed(path).links if "_downloads/" in link)
            notebook = nbformat.read(path.parent / link, as_version=4)
            nbformat.validate(notebook)
            own = Path(__file__).parents[2] / "notebooks" / f"{path.stem}.ipynb"
            code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
            assert code == [cell.source for cell in nbformat.read(own, as_version=4).cells if cell.cell_type == "code"]


def test_solutions_are_folded_in(html: Path) -> None:
    for path in sorted((html / "notebooks").glob("0*.html")):
        solutions = json.loads((Path(__file__).parents[2] / "notebooks" / "solutions" / f"{path.stem}.ipynb").read_text(encoding="utf-8"))
        exercises = sum("".join(cell["source"]).startswith("### Exercise") for cell in solutions["cells"])
        assert path.read_text(encoding="utf-8").count("sd-dropdown") >= exercises > 0


@pytest.fixture
def watched(browser: Any, site: str) -> Iterator[tuple[Any, list[str]]]:
    """A page, and what went wrong on it: errors, files that are missing, requests to other hosts."""
    context, wrong = browser.new_context(viewport={"width": 380, "height": 800}), []
    page = context.new_page()
    page.on("console", lambda message: wrong.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("response", lambda answer: wrong.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None)
    page.on("request", lambda request: None if request.url.startswith((site, "data:", "blob:")) else wrong.append(f"elsewhere: {request.url}"))
    yield page, wrong
    context.close()


def test_no_page_has_an_error_or_is_wider_than_a_phone(watched: tuple[Any, list[str]], html: Path, site: str) -> None:
    page, wrong = watched
    wide = []
    for path in pages(html):
        name = path.relative_to(html).as_posix()
        if not name.startswith(("_modules", "zh/_modules")):
            page.goto(f"{site}/{name}")
            page.wait_for_load_state("networkidle")
            wide += [name] * (page.evaluate("document.documentElement.scrollWidth") > 380)
    assert (wrong, wide) == ([], [])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS)
def test_no_serious_barrier(watched: tuple[Any, list[str]], site: str, name: str, theme: str) -> None:
    page, _ = watched
    page.emulate_media(color_scheme=theme)
    page.goto(f"{site}/{name}.html")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)
    page.add_script_tag(path=str(vendor("axe-core") / "axe.min.js"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    serious = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    assert [f"{rule['id']}: {node['html'][:150]} ({node['failureSummary'][:200]})" for rule in serious for node in rule["nodes"][:3]] == []


@pytest.mark.parametrize(("edition", "term"), [(edition, term) for edition, terms in SEARCHES.items() for term in terms])
def test_search_finds(watched: tuple[Any, list[str]], site: str, edition: str, term: str) -> None:
    page, wrong = watched
    page.goto(f"{site}/{edition}search.html?q={term}")
    page.wait_for_function("document.querySelector('#search-results .search-summary, #search-results p')?.textContent.match(/[0-9]/) "
                           "|| document.querySelector('#search-results li')", timeout=20_000)  # fmt: skip
    page.wait_for_timeout(500)
    links = [link.get_attribute("href") or "" for link in page.locator("#search-results li > a").all()]
    assert any(SEARCHES[edition][term] in link for link in links)
    assert wrong == []


@pytest.mark.parametrize("name", ["index", "notebooks/03_distillation_loss", "glossary"])
def test_the_switch_of_languages_keeps_the_page(watched: tuple[Any, list[str]], site: str, name: str) -> None:
    page, _ = watched
    page.goto(f"{site}/{name}.html")
    page.locator(".kd-editions a", has_text="中文").click()
    assert urlparse(page.url).path == f"/zh/{name}.html" and page.locator("html").get_attribute("lang") == "zh-CN"
    page.locator(".kd-editions a", has_text="English").click()
    assert urlparse(page.url).path == f"/{name}.html"
    page.locator(".kd-editions a", has_text="Français").click()
    assert urlparse(page.url).path == ("/fr/index.html" if "03_" in name else f"/fr/{name}.html")


def test_a_page_can_be_read_without_scripts(browser: Any, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(urljoin(site + "/", "notebooks/02_softmax_and_temperature.html"))
    assert page.locator("img").count() >= 8 and "maximises" in page.locator("article").inner_text()
    context.close()
