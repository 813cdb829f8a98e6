"""Where a student's code runs: no network, no other files, no other processes, bounded time, memory, processes and output.

bubblewrap (`bwrap`, a package of every Linux distribution) builds it; podman where that is missing. Without either, `start` refuses
unless told ``unsafe``. Inside are Python, kdlib, its fetched files (to read) and a copy of what was handed in; nothing of the
solutions, the tests, the gradebook or anyone else's work.
"""

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

import kdlib.files
from classroom.wire import LARGEST
from kdlib.errors import InputError

ROOT = Path(__file__).parent.parent
# fmt: off
LIMITS = {"processes": 64, "address_space": 12 << 30, "file_size": 64 << 20, "open_files": 256, "processor_seconds": 600, "core": 0}
MEMORY, DISK, OUTPUT = 3 << 30, 256 << 20, 5 << 20  # bytes: of all processes together, of each folder, of what is printed
CALL = 20.0  # seconds for one call of a student's function
KEPT = 20_000  # characters of a cell's output that reach the feedback
ENVIRONMENT = {"HOME": "/answers", "TMPDIR": "/tmp", "IPYTHONDIR": "/tmp/ipython", "MPLCONFIGDIR": "/tmp/matplotlib", "MPLBACKEND": "Agg",
               "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "KDLIB_QUIET": "1", "HF_HUB_OFFLINE": "1",
               "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/etc/fonts")
# fmt: on


class Ended(Exception):
    """The student's process is no more; the message says why, for the student to read."""


def method(unsafe: bool = False) -> str:
    """``bwrap``, ``podman`` or (only if asked for) ``unsafe``; raises ``InputError`` where there is no sandbox."""
    found = next((tool for tool in ("bwrap", "podman") if shutil.which(tool)), "unsafe" if unsafe else None)
    if found is None:
        raise InputError("No sandbox: students' code would run with your rights. Install bubblewrap (apt install bubblewrap) or podman,"
                         " or, for code that you trust, pass --unsafe.")  # fmt: skip
    return found


def readable() -> list[Path]:
    """What the sandbox may read: the system's programs, this Python with its packages, kdlib with its data and what it fetched."""
    own = [ROOT / name for name in ("kdlib", "data", "classroom/student.py", "classroom/wire.py")]
    fetched = [path for area in ("sources", "teachers") for path in sorted((kdlib.files.home() / area).glob("[!.]*"))]
    for file in (file for path in fetched for file in path.rglob("*") if os.getuid() == 0 and file.is_file()):
        file.chmod(file.stat().st_mode | 0o444)  # safetensors writes for the owner alone, who inside is nobody
    paths = [*map(Path, SYSTEM), Path(sys.prefix), Path(sys.base_prefix), *own, *fetched]
    return [path for path in dict.fromkeys(paths) if path.exists()]


def command(how: str, handed_in: Path, user: int) -> list[str]:
    """The command line that starts `classroom/student.py` with the rights of nobody."""
    home, paths = str(kdlib.files.home()), readable()
    environment = ENVIRONMENT | {"KDLIB_HOME": home, "PYTHONPATH": str(ROOT)}
    python = [sys.executable, str(ROOT / "classroom/student.py"), json.dumps(LIMITS)]
    scratch = ("/tmp", "/answers", home)  # in memory, gone at the end
    if how == "podman":
        writable = [f"--tmpfs={folder}:rw,size={DISK},mode=1777" for folder in scratch]
        binds = [f"--volume={path}:{path}:ro" for path in [*paths, handed_in]]
        # Podman's own defaults for the last two are higher than a container in a container may ask for.
        limits = [f"--memory={MEMORY}", f"--pids-limit={2 * LIMITS['processes']}", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
        rights = "--network=none --read-only --cap-drop=all --security-opt=no-new-privileges --workdir=/answers".split()
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        (handed_in.parent / "root").mkdir(exist_ok=True)
        root = ["--rootfs", str(handed_in.parent / "root")]  # an empty one: all that is in it is bound
        return [
            "podman",
            "run",
            "--rm",
            "--interactive",
            f"--name={handed_in.parent.name}",
            f"--user={user}:{user}",
            *rights,
            *limits,
            *writable,
            *binds,
            *variables,
            *root,
            *python,
            str(handed_in),
        ]
    if how == "unsafe":
        return [*python, str(handed_in)]

    def options(*groups: tuple[str, ...]) -> list[str]:
        return [part for group in groups for part in group]

    parents = dict.fromkeys(str(parent) for path in paths for parent in [*reversed(path.parents)][1:])
    modes = {parent: "1777" if parent.startswith(home + "/") else "0755" for parent in parents}
    apart = "--unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup-try --die-with-parent --new-session --clearenv".split()
    in_memory = options(*(("--perms", "1777", "--size", str(DISK), "--tmpfs", str(folder)) for folder in scratch))
    folders = options(*(("--perms", str(mode), "--dir", str(parent)) for parent, mode in modes.items()))
    binds = options(*(("--ro-bind", str(path), str(path)) for path in paths), ("--ro-bind", str(handed_in), "/handed_in"))
    devices = options(
        ("--proc", "/proc"),
        ("--dev", "/dev"),
        ("--perms", "1777", "--size", str(DISK), "--tmpfs", "/dev/shm"),
        ("--chdir", "/answers"),
    )
    variables = options(*(("--setenv", str(name), str(value)) for name, value in environment.items()))
    rights, become = ["--unshare-user"], []
    if os.getuid() == 0:  # root becomes another user, whose processes can be counted
        rights = options(("--cap-add", "CAP_SETUID"), ("--cap-add", "CAP_SETGID"))
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
    return ["bwrap", *apart, *rights, *in_memory, *folders, *binds, *devices, *variables, *become, *python, "/handed_in"]


class Student:
    """A student's process: `ask` it, and read in ``printed`` what the last request made it print. Close it, or use ``with``."""

    def __init__(self, handed_in: Path, seconds: float = 300, unsafe: bool = False) -> None:
        how = self.how = method(unsafe)
        self.folder = tempfile.TemporaryDirectory(prefix="student")
        work = Path(self.folder.name)
        copy = work / "handed_in"
        copy_files(handed_in, copy)
        work.chmod(0o755)
        environment = (
            os.environ | ENVIRONMENT | {"HOME": str(work), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
            if how != "bwrap"
            else None
        )
        user = 20_000 + os.getpid() % 40_000  # one for each grader: the number of processes is counted by user
        self.deadline, self.printed, self.total, self.over = time.monotonic() + seconds, "", 0, ""
        self.process = subprocess.Popen(
            command(how, copy, user),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=work,
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdout and self.process.stderr
        self.selector = selectors.DefaultSelector()
        for pipe in (self.process.stdout, self.process.stderr):
            os.set_blocking(pipe.fileno(), False)
            self.selector.register(pipe, selectors.EVENT_READ)
        self.buffer = b""

    def __enter__(self) -> "Student":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def ask(self, request: Mapping[str, Any], seconds: float = CALL) -> dict[str, Any]:
        """The answer to a request, as in `classroom/student.py`; raises `Ended` where none comes within the limits."""
        if self.over:
            raise Ended(self.over)
        assert self.process.stdin
        self.printed, until = "", min(time.monotonic() + seconds, self.deadline)
        try:
            self.process.stdin.write((json.dumps(request) + "\n").encode())
        except BrokenPipeError:
            self.read(0)  # its last words
            self.end("your code ended the Python process")
        looked = time.monotonic()
        while b"\n" not in self.buffer:
            self.read(0.05)
            now = time.monotonic()
            if now > until:
                self.end(f"no answer within {seconds:.0f} seconds: is there an endless loop, or far too much work?")
            if now > looked + 0.1:
                looked = now
                if self.memory() > MEMORY:
                    self.end(f"your code used more than {MEMORY >> 30} GB of memory")
        line, _, self.buffer = self.buffer.partition(b"\n")
        self.read(0)
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            self.end("your code wrote into the grader's channel")
        return answer  # type: ignore[return-value]

    def read(self, seconds: float) -> None:
        """Take in what has come; raises `Ended` at the end of the process or where it sends too much."""
        assert self.process.stdout and self.process.stderr
        self.selector.select(seconds)
        while data := self.process.stderr.read(1 << 16):
            self.total += len(data)
            self.printed += data[: max(0, KEPT - len(self.printed))].decode(errors="replace")
            if self.total > OUTPUT:
                self.end(f"your code printed more than {OUTPUT >> 20} MB")
        while data := self.process.stdout.read(1 << 16):
            self.buffer += data
            if len(self.buffer) > LARGEST:
                self.end("your code returned far more than was asked for")
        if data == b"":  # and not None, which says that nothing is there yet
            self.end("your code ended the Python process")

    def memory(self) -> int:
        """Bytes in memory of all processes in the sandbox; pages that several share are divided among them where they would matter."""

        def total(measure: Callable[[psutil.Process], int]) -> int:
            found = 0
            for process in processes(self.process.pid):
                with suppress(psutil.Error):  # it has ended meanwhile
                    found += measure(process)
            return found

        rough = total(lambda process: process.memory_info().rss)
        return rough if rough <= MEMORY else total(lambda process: process.memory_full_info().pss)

    def end(self, why: str) -> None:
        """Kill every process of the sandbox and raise `Ended`."""
        self.over = why
        self.close()
        raise Ended(why)

    def close(self) -> None:
        """Kill every process of the sandbox; with its first process go all the others of its process namespace."""
        if self.process.returncode is not None:
            return  # closed before
        for process in [*processes(self.process.pid), *([self.process] if self.process.poll() is None else [])]:
            with suppress(psutil.Error):  # it has ended meanwhile
                process.kill()
        self.process.wait()
        if self.how == "podman":  # whose container is not a child of what was started
            name = Path(self.folder.name).name
            subprocess.run(["podman", "rm", "--force", "--ignore", "--time=0", name], check=True, capture_output=True)
        self.selector.close()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()  # type: ignore[union-attr]
        self.folder.cleanup()


def check(unsafe: bool = False) -> None:
    """Start a sandbox and end it; raises ``InputError`` with what its program said where it does not start, for then every mark would be 0."""
    with tempfile.TemporaryDirectory() as empty, Student(Path(empty), unsafe=unsafe) as student:
        try:
            student.ask({"cell": "1"}, 120)
        except Ended as error:
            said = student.printed.strip() or str(error)
            raise InputError(f"The sandbox ({method(unsafe)}) does not start: {said[-300:]}. Nothing was graded.") from None


def processes(pid: int) -> list[psutil.Process]:
    """The descendants of a process that are there now."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def copy_files(source: Path, target: Path, most: int = 50 << 20) -> None:
    """Copy plain files only (no links, which could lead anywhere), readable by all, up to ``most`` bytes in all."""
    target.mkdir(mode=0o755)
    for path in sorted(source.rglob("*")):
        name = target / path.relative_to(source)
        if path.is_symlink() or not (path.is_dir() or path.is_file()) or not name.parent.is_dir():
            continue
        if path.is_dir():
            name.mkdir(mode=0o755)
        elif (most := most - path.stat().st_size) >= 0:
            shutil.copyfile(path, name)
            name.chmod(0o644)
