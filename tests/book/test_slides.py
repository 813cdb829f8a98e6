"""The slides in Chromium: nothing is fetched from elsewhere, and nothing is cut off. (Needs npm on the first run.)"""

import re
from pathlib import Path
from typing import Any

import pytest
import slides

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def deck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slides.write(ROOT / "notebooks" / "00_start_here.ipynb", tmp_path_factory.mktemp("slides"))


def test_the_page_names_nothing_of_another_host(deck: Path) -> None:
    html = deck.read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*https?://[^>]*>", html) and not re.findall(r"(?:@import|url\()[^;]{0,9}https?:", html)
    assert str(ROOT) not in html and "No description has been provided" not in html
    for name in re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', html):
        assert (deck.parent / name).is_file(), name


def test_every_slide_fits_and_the_network_is_not_asked(deck: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(deck.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady() && window.MathJax && MathJax.startup")
    places = page.evaluate("Reveal.getSlides().map(slide => [Reveal.getIndices(slide).h, Reveal.getIndices(slide).v || 0])")
    assert len(places) >= 12
    for h, v in places:
        page.evaluate(f"Reveal.slide({h}, {v}); while (Reveal.availableFragments().next) Reveal.nextFragment();")
        bounds = page.evaluate(
            "[...Reveal.getCurrentSlide().querySelectorAll(':not(aside, aside *)')].map(e => e.getBoundingClientRect()).map(r => [r.right, r.bottom])"
        )
        assert max(right for right, _ in bounds) <= 1280 and max(bottom for _, bottom in bounds) <= 720, (h, v)
    assert not wrong and not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    page.close()
