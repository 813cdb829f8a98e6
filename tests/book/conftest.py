"""The built site behind a server, and the report that it was made from, for the tests of the book."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import served

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))
REPORT = Path(os.environ.get("KDLIB_REPORT", ROOT / "reports" / "quick"))


def pytest_sessionstart() -> None:
    """Nothing is left out where something is missing: what to do is said."""
    if not (REPORT / "metrics.json").exists():
        pytest.exit(f"There is no report in {REPORT}: run make report first, then make book.", returncode=1)


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built site."""
    folder = ROOT / "book" / "_build" / "html"
    if not (folder / "index.html").exists():
        pytest.exit("There is no site to look at: run make book first.", returncode=1)
    return folder


@pytest.fixture(scope="session")
def site(html: Path) -> Iterator[str]:
    """The address of the built site."""
    with served(html) as address:
        yield address
