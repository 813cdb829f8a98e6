"""The browser of the tests in tests/browser and tests/book."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

BROWSERS = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
]
MISSING = (
    "These tests need Chromium, Chrome or Edge: install one with `sudo apt install chromium` on Debian, "
    "`sudo snap install chromium` on Ubuntu, `brew install --cask google-chrome` on macOS or `winget install Google.Chrome` "
    "on Windows, or set KDLIB_BROWSER to the path of the program."
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless browser: KDLIB_BROWSER, or the first one that is installed."""
    named = os.environ.get("KDLIB_BROWSER")
    program = next(filter(None, map(shutil.which, [named] if named else BROWSERS)), None)
    if program is None:
        pytest.exit(MISSING, returncode=1)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, timeout=120_000)
