"""Fetch what vendor.toml names, by the reader's own npm, into KDLIB_HOME; what is there already is not fetched again."""

import fnmatch
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path

from kdlib.errors import InputError, require
from kdlib.files import kept

PINS = Path(__file__).with_name("vendor.toml")


def vendor(name: str) -> Path:
    """The folder with the files of one package of vendor.toml, without the folders around them.

    Raises ``InputError`` without npm, without network on the first run, and where the package is not the one that was pinned.
    """
    pin = tomllib.loads(PINS.read_text(encoding="utf-8"))[name]
    digest = hashlib.sha256(json.dumps(pin).encode()).hexdigest()[:8]
    return kept("vendor", f"{name.split('/')[-1]}-{pin['version']}-{digest}", lambda folder: fetch(name, pin, folder))


def fetch(name: str, pin: dict[str, str], folder: Path) -> None:
    """Fetch one package, check it and copy the wanted files into ``folder``."""
    npm = shutil.which("npm")
    require(npm, f"The book needs {name} {pin['version']}, and npm to fetch it: install Node.js (for example from nodejs.org).")
    patterns = [match for files in pin["files"] for match in alternatives(f"package/{files}")]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run([str(npm), "pack", "--silent", f"{name}@{pin['version']}"], cwd=scratch, capture_output=True, text=True)
        archive = next(Path(scratch).glob("*.tgz"), None)
        if done.returncode or archive is None:
            raise InputError(f"npm does not bring {name} {pin['version']}; is there a network? It says: {done.stderr.strip()[-300:]}")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        require(found == pin["sha256"], f"{name} {pin['version']} has the SHA-256 {found} and not the one in {PINS.name}: do not use it.")
        with tarfile.open(archive) as members:
            for member in members:
                content = members.extractfile(member)
                if content and any(fnmatch.fnmatch(member.name, pattern) for pattern in patterns):
                    target = folder / re.sub(r"^package/(es5/|dist/)?", "", member.name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())


def alternatives(pattern: str) -> list[str]:
    """A pattern with {a,b} as one for each."""
    found = re.search(r"\{([^}]*)\}", pattern)
    return [pattern.replace(found[0], part) for part in found[1].split(",")] if found else [pattern]
