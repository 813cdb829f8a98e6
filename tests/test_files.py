"""Files are written aside and moved into place: whatever happens, what was finished stays and nothing is littered."""

import errno
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdlib import files
from kdlib.errors import InputError
from kdlib.files import home, kept, packaged, progress, written_aside


def content(path: Path) -> object:
    """A file's text, a folder's entries by name, None where there is nothing."""
    if path.is_dir():
        return {entry.name: content(entry) for entry in path.iterdir()}
    return path.read_text(encoding="utf-8") if path.exists() else None


def make(path: Path, kind: str, text: str) -> None:
    """A file with this text, a folder with such a file in it, or nothing."""
    if kind == "folder":
        path.mkdir()
        (path / "inside.txt").write_text(text, encoding="utf-8")
    elif kind == "file":
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("old", "new"), [("nothing", "file"), ("nothing", "folder"), ("file", "file")])
def test_a_block_that_ends_well_puts_the_new_in_place(tmp_path: Path, old: str, new: str) -> None:
    target = tmp_path / "deep" / "er" / "target"
    target.parent.mkdir(parents=True)
    make(target, old, "old")
    with written_aside(target) as aside:
        make(aside, new, "new")
        assert content(target) == ("old" if old == "file" else None), "the old stays until the end"
    assert content(tmp_path) == {
        "deep": {"er": {"target": "new" if new == "file" else {"inside.txt": "new"}}}
    }


def test_folders_above_the_target_are_made(tmp_path: Path) -> None:
    with written_aside(tmp_path / "deep" / "er" / "target") as aside:
        make(aside, "file", "new")
    assert content(tmp_path) == {"deep": {"er": {"target": "new"}}}


@pytest.mark.parametrize("new", ["file", "folder"])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, new: str) -> None:
    target = tmp_path / "target"
    make(target, "folder", "old")
    (target / "stale.txt").write_text("stale", encoding="utf-8")
    with written_aside(target) as aside:
        make(aside, new, "new")
        assert content(target) == {"inside.txt": "old", "stale.txt": "stale"}
    assert content(tmp_path) == {"target": "new" if new == "file" else {"inside.txt": "new"}}


@pytest.mark.parametrize("kind", ["nothing", "file", "folder"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, PermissionError])
def test_an_error_leaves_the_old_and_no_litter(tmp_path: Path, kind: str, error: type[BaseException]) -> None:
    target = tmp_path / "target"
    make(target, kind, "old")
    before = content(tmp_path)
    with pytest.raises(error), written_aside(target) as aside:
        make(aside, "folder", "half")
        raise error
    assert content(tmp_path) == before


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_block_that_writes_nothing_fails_and_leaves_the_old(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    make(target, kind, "old")
    before = content(tmp_path)
    with pytest.raises(FileNotFoundError), written_aside(target):
        pass
    assert content(tmp_path) == before


def test_a_crash_between_the_two_moves_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    make(target, "folder", "old")
    replace = Path.replace

    def stopped(self: Path, to: Path) -> Path:
        if self.name == "target" and self.parent != tmp_path:
            raise KeyboardInterrupt
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(KeyboardInterrupt), written_aside(target) as aside:
        make(aside, "folder", "new")
    assert content(tmp_path) == {"target": {"inside.txt": "old"}}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("moment", ["writing", "making the folder"])
def test_a_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, code: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(code, "No space left on device")

    target = tmp_path / "target"
    make(target, "file", "old")
    if moment == "making the folder":
        monkeypatch.setattr(files.tempfile, "mkdtemp", full)
    with pytest.raises(InputError) as caught, written_aside(target) as aside:
        aside.write_text("half", encoding="utf-8")
        full()
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert content(tmp_path) == {"target": "old"}


def test_a_target_under_a_file_is_one_sentence(tmp_path: Path) -> None:
    make(tmp_path / "file", "file", "old")
    with pytest.raises(InputError, match="cannot be written"), written_aside(tmp_path / "file" / "target"):
        pass
    assert content(tmp_path) == {"file": "old"}


def test_home_is_made_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDLIB_HOME", str(tmp_path / "new" / "home"))
    assert home() == tmp_path / "new" / "home"
    assert content(tmp_path) == {"new": {"home": {}}}, "looking leaves nothing behind"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("KDLIB_HOME", "~/of-user")
    assert home() == tmp_path / "of-user"


def test_home_is_the_users_cache_where_the_variable_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("KDLIB_HOME", "")
    assert home() == tmp_path / "cache" / "kdlib"


def test_a_home_that_cannot_be_written_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "file", "file", "")
    monkeypatch.setenv("KDLIB_HOME", str(tmp_path / "file" / "home"))  # root may write anywhere but here
    with pytest.raises(InputError, match=r"set the variable KDLIB_HOME") as caught:
        home()
    assert str(tmp_path / "file" / "home") in str(caught.value)


def test_packaged_finds_what_ships_and_says_what_does_not() -> None:
    assert packaged("data", "sources.toml").is_file()
    with pytest.raises(FileNotFoundError, match=r"data/nothing\.txt"):
        packaged("data", "nothing.txt")


def test_quiet_shows_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(files.sys.modules, "ipykernel", files)  # as in a notebook, where a bar is shown
    monkeypatch.setenv("KDLIB_QUIET", "0")
    assert list(progress(range(3), "steps")) == [0, 1, 2]
    assert "steps" in capsys.readouterr().err
    monkeypatch.setenv("KDLIB_QUIET", "1")
    assert list(progress(range(3), "steps")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_kept_builds_once_and_leaves_nothing_half_done(failure: type[BaseException], isolated_home: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "part").write_text("one")
        if len(built) == 1:
            raise failure
        (folder / "rest").write_text("two")

    with pytest.raises(failure):
        kept("students", "key", build)
    assert not list((isolated_home / "students").rglob("*")) and not list(isolated_home.rglob("part"))
    for _ in range(2):
        folder = kept("students", "key", build)
    assert len(built) == 2 and folder == isolated_home / "students" / "key"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"part": "one", "rest": "two"}
    kept("students", "another", build)
    assert len(built) == 3


SLOW = """
import sys, time
from pathlib import Path
from kdlib.files import kept

def build(folder):
    Path(sys.argv[1]).touch()
    time.sleep(float(sys.argv[2]))
    (folder / "part").write_text("theirs")

kept("students", "key", build)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_process_waits_for_the_one_that_builds_and_not_for_one_that_was_killed(killed: bool, isolated_home: Path, tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "part").write_text("mine")

    begun = tmp_path / "begun"
    other = subprocess.Popen([sys.executable, "-c", SLOW, str(begun), "600" if killed else "1"])
    try:
        while not begun.exists():
            assert other.poll() is None
            time.sleep(0.02)
        if killed:
            other.kill()
        folder = kept("students", "key", build)
    finally:
        other.kill()
        other.wait()
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"part": "mine" if killed else "theirs"}


GROWS = """
import psutil
from kdlib.files import kept

held = []

def build(folder):
    parts = [bytes(100_000) for _ in range(3000)]  # 300 MB, in blocks that the allocator keeps when they are freed
    held.append(parts[::300])

def memory():
    return psutil.Process().memory_info().rss

start = memory()
kept("area", "key", build)
print(memory() - start)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is tested is a call of glibc's malloc_trim")
def test_what_a_finished_step_has_freed_goes_back_to_the_system(isolated_home: Path) -> None:
    """Else each student trained leaves some hundred megabytes behind, and a report of nine outgrows a small laptop."""
    run = subprocess.run([sys.executable, "-c", GROWS], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 100e6
