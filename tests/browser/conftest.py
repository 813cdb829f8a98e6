"""A JupyterLab of the tests' own."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SETTINGS = """{"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
               "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}"""


@pytest.fixture(scope="session")
def lab(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Folder and address, with {} for the file, of a JupyterLab on a copy of the notebooks, without this machine's settings."""
    home, token = tmp_path_factory.mktemp("lab"), secrets.token_hex()
    folder, log = shutil.copytree(NOTEBOOKS, home / "notebooks"), home / "log.txt"
    (home / "labconfig").mkdir()
    (home / "labconfig" / "default_setting_overrides.json").write_text(SETTINGS, encoding="utf-8")
    of_conftest = ("MPLBACKEND", "HF_HUB_OFFLINE")  # set for tests without pictures and network
    environment = {name: value for name, value in os.environ.items() if name not in of_conftest}
    environment |= {f"JUPYTER_{name}_DIR": str(home) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment |= {f"JUPYTERLAB_{name}_DIR": str(home / name) for name in ("SETTINGS", "WORKSPACES")}
    environment["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this Python
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    with log.open("w") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, log)
            yield folder, f"http://127.0.0.1:{port}/lab/tree/{{}}?reset&token={token}"
        finally:
            server.terminate()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty page; what it started in JupyterLab ends with it."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    yield page
    page.evaluate("window.jupyterapp?.serviceManager.sessions.shutdownAll()")
    page.close()


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    """Return when ``server`` answers; what it says is shown if it does not."""
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        try:
            return urllib.request.urlopen(address).close()
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab does not start: {log.read_text(encoding='utf-8')}")
