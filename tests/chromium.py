"""The browser of the tests in tests/browser and tests/book, and a server of pages for it."""

import contextlib
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
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


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server without a log, to which a page that closes while it loads is no error."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file."""
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
