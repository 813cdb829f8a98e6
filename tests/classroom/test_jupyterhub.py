"""The example for JupyterHub: what is copied between a course's folder and the students', and what never is. No hub is started."""

import asyncio
import io
import logging
import os
import runpy
import sys
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

EXAMPLE = Path(__file__).parents[2] / "examples" / "jupyterhub"
sys.path.insert(0, str(EXAMPLE))
import collect as hub  # type: ignore[import-not-found]  # noqa: E402


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course that has handed ``tiny`` out to two students, who have no accounts on this machine."""
    monkeypatch.setattr(hub, "student_rights", lambda student: {})
    for student in ("ana", "bo"):
        write(tmp_path / "course" / "handout" / student / "tiny", {"tiny.ipynb": f"of {student}", "data/few.csv": "1"})
    return tmp_path / "course"


@pytest.fixture
def home(tmp_path: Path) -> str:
    """Where the students' homes are."""
    return str(tmp_path / "homes" / "{}")


def write(folder: Path, files: dict[str, str]) -> Path:
    """Files in a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def content(folder: Path) -> dict[str, str]:
    """What a folder holds, links and all."""
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*")) if path.is_file()}


def stamp(course: Path) -> float:
    """The time stamp of ana's submission, as nbgrader reads it."""
    found = CourseDirectory(root=str(course)).get_existing_timestamp(str(course / "submitted" / "ana" / "tiny"))
    return found.replace(tzinfo=UTC).timestamp()


def test_only_what_is_new_is_handed_out(course: Path, home: str) -> None:
    mine = hub.place("ana", home)
    assert sorted(hub.hand_out(course, "ana", home)) == ["tiny/data/few.csv", "tiny/tiny.ipynb"]
    write(mine, {"tiny/tiny.ipynb": "my answer", "tiny/notes.txt": "mine"})
    write(course, {"handout/ana/tiny/tiny.ipynb": "another version", "handout/ana/next/next.ipynb": "next", "for_all/chapters/01.ipynb": "one"})
    (mine / "tiny" / "data" / "few.csv").unlink()
    assert sorted(hub.hand_out(course, "ana", home)) == ["chapters/01.ipynb", "next/next.ipynb", "tiny/data/few.csv"]
    assert content(mine) == {"chapters/01.ipynb": "one", "next/next.ipynb": "next", "tiny/data/few.csv": "1", "tiny/notes.txt": "mine", "tiny/tiny.ipynb": "my answer"}
    assert hub.hand_out(course, "ana", home) == []


def test_what_stands_in_the_way_stays(course: Path, home: str, tmp_path: Path) -> None:
    mine, elsewhere = hub.place("ana", home), write(tmp_path / "elsewhere", {"kept": "as it is"})
    write(mine, {"tiny/data": "a file where a folder should be"})
    (mine / "tiny" / "tiny.ipynb").symlink_to(elsewhere / "not_there")
    assert hub.hand_out(course, "ana", home) == []
    assert content(elsewhere) == {"kept": "as it is"} and content(mine) == {"tiny/data": "a file where a folder should be"}


def test_a_stranger_gets_an_empty_folder(course: Path, home: str) -> None:
    for student in ("eve", "..", ""):
        assert hub.hand_out(course, student, home) == []
    assert hub.place("eve", home).is_dir()


def test_what_is_collected_goes_on_to_grading(course: Path, home: str) -> None:
    hub.hand_out(course, "ana", home)
    assert hub.collect(course, "ana", "tiny", home) == "as handed out" and not (course / "submitted").exists()
    assert hub.collect(course, "bo", "tiny", home) == "no files"
    mine = write(hub.place("ana", home) / "tiny", {"tiny.ipynb": "my answer", "timestamp.txt": "1999-01-01 00:00:00.0 UTC"})
    when = datetime(2026, 3, 1, 11, 59, 30, 250000, UTC).timestamp()
    for path in mine.rglob("*"):
        os.utime(path, (when, when))
    assert hub.collect(course, "ana", "tiny", home) == "collected"
    target = course / "submitted" / "ana" / "tiny"
    first = content(target)
    assert first == {"data/few.csv": "1", "tiny.ipynb": "my answer", "timestamp.txt": "2026-03-01 11:59:30.250000 UTC"} and stamp(course) == when
    assert hub.collect(course, "ana", "tiny", home) == "as before" and content(target) == first
    write(mine, {"tiny.ipynb": "better"})
    (mine / "data" / "few.csv").unlink()
    assert hub.collect(course, "ana", "tiny", home) == "collected" and set(content(target)) == {"tiny.ipynb", "timestamp.txt"}
    assert [path.name for path in target.parent.iterdir()] == ["tiny"]
    (mine / "tiny.ipynb").unlink()
    assert hub.collect(course, "ana", "tiny", home) == "no files" and content(target)["tiny.ipynb"] == "better"


def test_a_changed_file_is_not_dated_before_the_last_look_nor_after_now(course: Path, home: str) -> None:
    file = write(hub.place("ana", home) / "tiny", {"tiny.ipynb": "one"}) / "tiny.ipynb"
    hub.collect(course, "ana", "tiny", home)
    os.utime(course / "submitted" / "ana" / "tiny" / "timestamp.txt", (0, 0))
    before = time.time()
    assert hub.collect(course, "ana", "tiny", home) == "as before"
    file.write_text("two")
    os.utime(file, (0, 0))
    assert hub.collect(course, "ana", "tiny", home) == "collected" and before - 0.1 <= stamp(course) <= time.time()
    file.write_text("three")
    os.utime(file, (time.time() + 9999,) * 2)
    assert hub.collect(course, "ana", "tiny", home) == "collected" and stamp(course) <= time.time()


def test_only_plain_files_are_taken(course: Path, home: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    secret = write(tmp_path / "secret", {"key": "of somebody else"})
    mine = write(hub.place("ana", home) / "tiny", {"tiny.ipynb": "mine", ".hidden": "h", ".ipynb_checkpoints/tiny.ipynb": "old", "__pycache__/a.pyc": "a"})
    (mine / "key").symlink_to(secret / "key")
    (mine / "folder").symlink_to(secret)
    (mine / "nowhere").symlink_to(tmp_path / "nowhere")
    os.mkfifo(mine / "pipe")
    with (mine / "a_large_one.bin").open("wb") as file:
        file.truncate(hub.LARGEST + 1)
    assert hub.collect(course, "ana", "tiny", home) == "collected"
    assert set(content(course / "submitted" / "ana" / "tiny")) == {"tiny.ipynb", "timestamp.txt"}
    said = capsys.readouterr().err
    assert "a_large_one.bin" in said and said.count("\n") == 1
    monkeypatch.setattr(hub, "MOST", 2)
    write(mine, {"0.csv": "0", "1.csv": "1"})
    hub.collect(course, "ana", "tiny", home)
    assert set(content(course / "submitted" / "ana" / "tiny")) == {"tiny.ipynb", "0.csv", "timestamp.txt"}
    mine.rename(mine.parent / "other")
    mine.symlink_to(mine.parent / "other")
    assert hub.collect(course, "ana", "tiny", home) == "no files"


def test_an_archive_puts_nothing_beside_its_folder(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("../beside", "a/../../beside", f"{tmp_path}/beside", "good/file"):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            tar.addfile(entry, io.BytesIO(b"x"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            entry = tarfile.TarInfo(f"special{kind.decode()}")
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
    for action in (hub.give, hub.renew):
        action(archive.getvalue(), tmp_path / "in" / action.__name__)
    hub.keep(archive.getvalue(), tmp_path / "in" / "keep", tmp_path / "handed_out")
    assert set(content(tmp_path)) == {"in/give/good/file", "in/renew/good/file", "in/keep/good/file", "in/keep/timestamp.txt"}


def test_feedback_goes_back_and_replaces_older_feedback(course: Path, home: str) -> None:
    assert hub.give_back(course, "ana", "tiny", home) == "no feedback"
    mine = write(hub.place("ana", home), {"tiny/tiny.ipynb": "mine", "feedback/tiny/tiny.html": "old", "feedback/tiny/my_thoughts.txt": "kept"})
    write(course / "feedback" / "ana" / "tiny", {"tiny.html": "new", "few.csv": "1", "timestamp.txt": "t"})
    assert hub.give_back(course, "ana", "tiny", home) == "returned"
    assert content(mine) == {"feedback/tiny/my_thoughts.txt": "kept", "feedback/tiny/tiny.html": "new", "tiny/tiny.ipynb": "mine"}


def test_what_was_fetched_once_is_linked_and_what_is_there_stays(course: Path, home: str, tmp_path: Path) -> None:
    shared = write(tmp_path / "shared", {"sources/a/text": "shared", "teachers/b/model": "shared", "locks/c": "no"})
    mine = write(hub.place("ana", home).parent / ".kdlib", {"sources/a/text": "my own"})
    (mine / "teachers" / "b").mkdir(parents=True)
    (mine / "teachers" / "b" / "model").symlink_to(tmp_path / "gone")
    hub.hand_out(course, "ana", home, shared)
    assert content(mine) == {"sources/a/text": "my own", "teachers/b/model": "shared"} and (mine / "teachers/b/model").is_symlink()


def test_another_process_does_the_same(tmp_path: Path) -> None:
    rights = {"user": os.getuid(), "group": os.getgid()}
    write(tmp_path / "from", {"zoë/tiny.ipynb": "é"})
    archive = hub.run("take", rights, tmp_path / "from")
    assert archive == hub.run("take", {}, tmp_path / "from")
    assert hub.run("give", rights, tmp_path / "to", given=archive) and content(tmp_path / "to") == {"zoë/tiny.ipynb": "é"}
    with pytest.raises(OSError, match=r"^NotADirectoryError: .*tiny\.ipynb"):
        hub.run("renew", rights, tmp_path / "to" / "zoë" / "tiny.ipynb", given=archive)


def test_root_takes_the_rights_of_an_account_and_never_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert os.geteuid() == 0 or hub.student_rights("nobody at all") == {}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    account = SimpleNamespace(pw_uid=4711, pw_gid=4712)
    monkeypatch.setattr(hub.pwd, "getpwnam", lambda name: {"ana": account, "root": SimpleNamespace(pw_uid=0, pw_gid=0)}[name])
    monkeypatch.setattr(os, "getgrouplist", lambda name, group: [group])
    assert hub.student_rights("ana") == {"user": 4711, "group": 4712, "extra_groups": [4712]}
    for name in ("root", "eve"):
        with pytest.raises(LookupError, match=name):
            hub.student_rights(name)
    for owner, rights in ((4711, {"user": 4711, "group": 4712, "extra_groups": []}), (0, {})):
        monkeypatch.setattr(hub.pwd, "getpwuid", lambda number: account)
        assert hub.owner_rights(SimpleNamespace(stat=lambda owner=owner: SimpleNamespace(st_uid=owner))) == rights


def test_the_command_line(course: Path, home: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write(hub.place("ana", home), {"tiny/tiny.ipynb": "mine"})
    assert hub.main(["collect", str(course), "tiny", "--home", home]) == 0
    assert capsys.readouterr().out == "ana: collected\nbo: no files\n"
    assert hub.main(["return", str(course), "tiny", "--home", home]) == 0
    assert capsys.readouterr().out == "ana: no feedback\nbo: no feedback\n"
    with pytest.raises(SystemExit):
        hub.main(["collect", str(course), "../tiny", "--home", home])
    assert "begin with make assign" in capsys.readouterr().err

    def no_account(student: str) -> dict[str, Any]:
        if student == "ana":
            raise LookupError("no account")
        return {}

    monkeypatch.setattr(hub, "student_rights", no_account)
    assert hub.main(["collect", str(course), "tiny", "--home", home]) == 1
    assert capsys.readouterr().out == "ana: failed: no account\nbo: no files\n"


def test_the_hub_hands_out_before_a_server_starts(course: Path, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    write(course, {"roster.json": '{"system": "plain", "students": {"ana": {}, "bo": {}}}'})
    for name, value in {"COURSE": course, "HOMES": home, "SHARED": write(tmp_path / "shared", {"sources/a/text": "shared"})}.items():
        monkeypatch.setenv(name, str(value))
    config = Config()
    runpy.run_path(str(EXAMPLE / "jupyterhub_config.py"), {"get_config": lambda: config})
    assert config.Authenticator.allowed_users == {"ana", "bo"}
    spawner = SimpleNamespace(user=SimpleNamespace(name="ana"), log=logging.getLogger("hub"))
    asyncio.run(config.Spawner.pre_spawn_hook(spawner))
    assert content(hub.place("ana", home)) == {"tiny/data/few.csv": "1", "tiny/tiny.ipynb": "of ana"}
    fetched = Path(config.Spawner.environment["KDLIB_HOME"](spawner))
    assert content(fetched) == {"sources/a/text": "shared"}
    monkeypatch.setattr(hub, "read", lambda *given: 1 / 0)
    asyncio.run(config.Spawner.pre_spawn_hook(spawner))  # the server starts all the same
    assert "nothing handed out to ana" in caplog.text
