"""Between a course's folder and the students' own folders on one machine.

    python collect.py collect COURSE ASSIGNMENT   a copy of each student's folder, into COURSE/submitted/STUDENT/ASSIGNMENT
    python collect.py return COURSE ASSIGNMENT    COURSE/feedback/STUDENT/ASSIGNMENT, into the student's feedback/ASSIGNMENT

A student's folder is ~STUDENT/course: students' ids on the roster are the names of their accounts. Run it as root, who can become any
of them. Root itself opens no student's file: what reads or writes there is a process with the student's rights, and what
writes into COURSE has the rights of COURSE's owner. So a link leads no further than the student gets without it. Another user than root
does it all with their own rights. `jupyterhub_config.py` hands out with the same functions. Needs nothing but Python 3.11.
"""

import argparse
import io
import json
import os
import pwd
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

LARGEST, MOST = 50 << 20, 500  # bytes and files that are taken of one folder; notebooks first
STAMP = "timestamp.txt"
Files = dict[str, tuple[bytes, float]]  # path below a folder → content and time of the last change


def plain_files(folder: Path) -> Iterator[Path]:
    """The plain files below a folder; no links, nothing behind links, nothing hidden."""
    if folder.is_symlink():
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for path in (Path(parent, name) for name in sorted(names) if not name.startswith(".")):
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def read(folder: Path, largest: float = float("inf"), most: float = float("inf")) -> Files:
    """The plain files below a folder, up to ``largest`` bytes and ``most`` files; says which are left out."""
    files: Files = {}
    for path in sorted(plain_files(folder), key=lambda path: (path.suffix != ".ipynb", path)):
        size, changed = path.lstat().st_size, path.lstat().st_mtime
        if size > largest or len(files) >= most:
            print(f"left out, too large or too many: {str(path)!r}", file=sys.stderr)
            continue
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                content = file.read(size)
        except OSError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        largest -= len(content)
        files[path.relative_to(folder).as_posix()] = content, changed
    return files


def packed(files: Files) -> bytes:
    """Files as a tar archive: so they go from one process to another."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, (content, changed) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), changed
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def unpacked(archive: bytes) -> Files:
    """The plain files of a tar archive whose paths stay below its root."""
    if not archive:
        return {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            str(PurePosixPath(entry.name)): (tar.extractfile(entry).read(), float(entry.mtime))  # type: ignore[union-attr]
            for entry in tar
            if entry.isreg() and entry.name and not entry.name.startswith("/") and ".." not in entry.name.split("/")
        }


def take(_: bytes, folder: Path) -> bytes:
    """A student's folder of an assignment, as an archive."""
    return packed(read(folder, LARGEST, MOST))


def give(archive: bytes, folder: Path) -> bytes:
    """Put files into a folder; whatever is there stays as it is. Returns the names of those that were put."""
    folder.mkdir(parents=True, exist_ok=True)
    new = []
    for name, (content, _) in unpacked(archive).items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        except (FileExistsError, NotADirectoryError):
            continue
        try:
            with file:
                file.write(content)
        except OSError:  # the disk or the quota is full: no half file that would stay
            path.unlink()
            raise
        new.append(name)
    return json.dumps(new).encode()


def renew(archive: bytes, folder: Path) -> bytes:
    """Put files into a folder, in the place of what has their names."""
    for name, (content, _) in unpacked(archive).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as aside:
            aside.write(content)
        os.replace(aside.name, path)
    return b""


def link(_: bytes, folder: Path, shared: Path) -> bytes:
    """Links in ``folder`` to every file below ``shared``, at the same places; whatever is there stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in plain_files(shared):
        place = folder / path.relative_to(shared)
        if place.is_symlink() and not place.exists():
            place.unlink()  # what it led to is gone
        if place.relative_to(folder).parts[0] != "locks" and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    return b""


def keep(archive: bytes, folder: Path, handed_out: Path) -> bytes:
    """Keep what a student has as their submission, unless it is the same as before or as it was handed out. Returns which.

    The time stamp is the time of the newest change. A student can set a file's time back, but not behind the last time that somebody
    looked, which is the time of the stamp's own file.
    """
    files = {name: entry for name, entry in unpacked(archive).items() if name.split("/")[0] != STAMP}
    contents = {name: content for name, (content, _) in files.items()}
    before = {name: content for name, (content, _) in read(folder).items() if name != STAMP}
    given = {name: content for name, (content, _) in read(handed_out).items()}
    stamp, now = folder / STAMP, time.time()
    if not files:
        return b"no files"
    if contents.items() <= given.items():
        return b"as handed out"
    if contents == before and stamp.exists():
        os.utime(stamp, (now, now))
        return b"as before"
    changed = min(now, max(changed for _, changed in files.values()))
    if stamp.exists():
        changed = max(changed, stamp.stat().st_mtime)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as aside:
        new = Path(aside, "new")
        give(packed(files), new)
        new.joinpath(STAMP).write_text(f"{datetime.fromtimestamp(changed, UTC):%Y-%m-%d %H:%M:%S.%f %Z}", encoding="utf-8")
        if folder.exists():
            folder.rename(Path(aside, "old"))
        new.rename(folder)
    return b"collected"


ACTIONS: dict[str, Callable[..., bytes]] = {action.__name__: action for action in (take, give, renew, link, keep)}


def run(action: str, rights: dict[str, Any], *folders: Path, given: bytes = b"") -> bytes:
    """One of the functions above, in a process with somebody's rights; in this process where they are its own."""
    if not rights:
        return ACTIONS[action](given, *folders)
    command = [sys.executable, "-I", str(Path(__file__).resolve()), action, *map(str, folders)]
    limits: dict[str, Any] = {"cwd": "/", "env": {}, "umask": 0o077, "timeout": 120}
    done = subprocess.run(command, input=given, capture_output=True, **limits, **rights)
    said = done.stderr.decode(errors="replace")
    if done.returncode:
        raise OSError((said.strip().splitlines() or [f"{action} ended with {done.returncode}"])[-1])
    print(said, end="", file=sys.stderr)
    return done.stdout


def student_rights(student: str) -> dict[str, Any]:
    """A student's rights, for `run`; none to change to where this is not root."""
    if os.geteuid() != 0:
        return {}
    try:
        account = pwd.getpwnam(student)
    except KeyError:
        raise LookupError(f"no account has the name {student!r}") from None
    if account.pw_uid == 0:
        raise LookupError(f"{student!r} is root")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": os.getgrouplist(student, account.pw_gid)}


def owner_rights(course: Path) -> dict[str, Any]:
    """The rights of a course's owner, for `run`."""
    owner = course.stat().st_uid
    return {"user": owner, "group": pwd.getpwuid(owner).pw_gid, "extra_groups": []} if os.geteuid() == 0 != owner else {}


def place(student: str, home: str = "~{}") -> Path:
    """A student's folder; ``home`` is where homes are, with {} for the student."""
    return Path(home.format(student)).expanduser() / "course"


def hand_out(course: Path, student: str, home: str = "~{}", shared: Path | None = None) -> list[str]:
    """Put what is new of COURSE/handout/STUDENT and COURSE/for_all into a student's folder, overwriting nothing; returns the names.

    With ``shared``, a folder that KDLIB_HOME was once: the student's own KDLIB_HOME, ~/.kdlib, gets links to its files.
    """
    rights, folder = student_rights(student), place(student, home)
    files = read(course / "for_all")
    if student in [path.name for path in course.glob("handout/*")]:
        files |= read(course / "handout" / student)
    new = run("give", rights, folder, given=packed(files))
    if shared:
        run("link", rights, folder.parent / ".kdlib", shared)
    return json.loads(new)


def collect(course: Path, student: str, assignment: str, home: str = "~{}") -> str:
    """Copy a student's folder of an assignment into COURSE/submitted; returns what was there, in two words."""
    archive = run("take", student_rights(student), place(student, home) / assignment)
    folders = [course / area / student / assignment for area in ("submitted", "handout")]
    return run("keep", owner_rights(course), *folders, given=archive).decode()


def give_back(course: Path, student: str, assignment: str, home: str = "~{}") -> str:
    """Put the feedback on an assignment into a student's folder; returns what was there."""
    files = {name: entry for name, entry in read(course / "feedback" / student / assignment).items() if name.endswith(".html")}
    run("renew", student_rights(student), place(student, home) / "feedback" / assignment, given=packed(files))
    return "returned" if files else "no feedback"


def main(words: list[str] | None = None) -> int:
    """The command line; 1 where something went wrong for a student."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["collect", "return"])
    parser.add_argument("course", type=Path, help="the course's folder")
    parser.add_argument("assignment", help="such as 1_softmax")
    parser.add_argument("--home", default="~{}", help="where students' homes are, with {} for the student")
    given = parser.parse_args(words)
    course, failed = given.course.resolve(), False
    folders = sorted(path for path in course.glob("handout/*") if path.is_dir())
    students = [path.name for path in folders if given.assignment in os.listdir(path)]
    if not students:
        parser.error(f"{course}/handout holds no {given.assignment}: begin with make assign.")
    for student in students:
        try:
            said = (collect if given.what == "collect" else give_back)(course, student, given.assignment, given.home)
        except (LookupError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            said, failed = f"failed: {error}", True
        print(f"{student}: {said}")
    return int(failed)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ACTIONS:  # what `run` starts
        sys.stdout.buffer.write(ACTIONS[sys.argv[1]](sys.stdin.buffer.read(), *map(Path, sys.argv[2:])))
    else:
        sys.exit(main())
