"""Submissions that attack: each is contained, earns nothing by it, and leaves the host as it was."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import CELLS, Judge  # type: ignore[import-not-found]

import classroom.sandbox
from classroom.assignment import read_submission
from classroom.sandbox import Ended, Student, copy_files
from kdlib.errors import InputError

RIGHT = "\ndef scale(x):\n    return x * variant['factor']\n"
WRONG = "\ndef scale(x):\n    return x\n"


@pytest.fixture(autouse=True)
def nothing_left() -> Any:
    """No process of a test's stays."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    until = time.monotonic() + 5
    while time.monotonic() < until and (left := {process.pid for process in psutil.Process().children(recursive=True)} - before):
        time.sleep(0.1)
    assert not left


def test_an_honest_answer_passes_and_a_wrong_one_fails(marks: Judge) -> None:
    assert marks(RIGHT) == {"test_scale": None, "test_answer": None}
    assert marks(WRONG) == {"test_scale": "scale: by how much?", "test_answer": None}
    assert marks("def scale(x):\n    raise NotImplementedError")["test_scale"] == "scale: NotImplementedError"
    assert marks("def scale(x):\n    raise KeyError('no')")["test_scale"] == "'scale: no'"


def test_an_endless_loop_is_stopped(marks: Judge) -> None:
    result = marks("while True:\n    pass", seconds=8)
    assert set(result) == {"test_scale", "test_answer"} and "endless loop" in str(result["test_scale"])


def test_a_call_that_never_returns_is_stopped(marks: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Student.ask, "__defaults__", (2.0,))
    assert "no answer within 2 seconds" in str(marks("def scale(x):\n    import time\n    time.sleep(1e6)")["test_scale"])


def test_a_flood_of_processes_meets_the_limit(handed_in: Path) -> None:
    with Student(handed_in) as student:
        shown = student.ask({"cell": "import os, resource\nprint(os.getuid(), *resource.getrlimit(resource.RLIMIT_NPROC))"})
        user, soft, hard = (int(number) for number in student.printed.split())
        assert shown == {"ok": True} and user != 0 and soft == hard <= 64  # only then the flood, of at most 200
        flood = ("import os, time\nmade = 0\nfor _ in range(200):\n    try:\n        if os.fork() == 0:\n            time.sleep(30)\n            os._exit(0)\n"
                 "        made += 1\n    except OSError:\n        break\nprint(made)")  # fmt: skip
        student.ask({"cell": flood})
        made = int(student.printed)
        assert 0 < made < 64
        assert len(psutil.Process(student.process.pid).children(recursive=True)) <= 64 + 3
    assert os.fork and psutil.Process().num_threads() > 0  # the host still starts processes: the fixture looks for what is left


@pytest.mark.parametrize("code", ["import torch\nbig = torch.ones(10**10)", "big = bytearray(10**11)"])
def test_a_flood_of_memory_at_once_is_refused(marks: Judge, code: str) -> None:
    assert marks(code + RIGHT) == {"test_scale": "name 'scale' is not defined", "test_answer": None}


def test_a_flood_of_memory_bit_by_bit_is_stopped(marks: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classroom.sandbox, "MEMORY", 1 << 30)
    seen, look = [], Student.memory
    monkeypatch.setattr(Student, "memory", lambda student: seen.append(look(student)) or seen[-1])
    result = marks("hoard = []\nwhile True:\n    hoard.append(bytearray(8 << 20))")
    assert "GB of memory" in str(result["test_scale"])
    assert 1 << 30 < max(seen) < 3 << 30


def test_the_disk_cannot_be_filled(marks: Judge) -> None:
    code = "import os\nfor i in range(100):\n    with open(f'/tmp/{i}', 'wb') as file:\n        file.write(bytes(32 << 20))\n"
    assert marks(code + RIGHT)["test_scale"] == "name 'scale' is not defined"


def test_solutions_tests_and_other_submissions_are_not_there(handed_in: Path, made_up: Path, tmp_path: Path) -> None:
    other = tmp_path / "submitted" / "bo" / "tiny"
    other.mkdir(parents=True)
    (other / "tiny.ipynb").write_text("bo's work", encoding="utf-8")
    look = (f"import os\nfound = [os.path.join(folder, name) for folder, _, files in os.walk('/') for name in files if name.endswith(('.ipynb', 'gradebook.db'))]\n"
            f"found = [name for name in found if not name.startswith({(sys.prefix, sys.base_prefix, *classroom.sandbox.SYSTEM)})]\n")  # fmt: skip
    with Student(handed_in) as student:
        student.ask({"cell": look + "print(found)\n" + f"print([os.path.exists(name) for name in {[str(other), str(made_up)]}])"})
        assert student.printed.splitlines() == ["[]", "[False, False]"]


def test_links_in_a_submission_lead_nowhere(handed_in: Path, tmp_path: Path) -> None:
    (handed_in / "hosts").symlink_to("/etc/hosts")
    (handed_in / "all").symlink_to("/")
    (handed_in / "data.csv").write_text("a", encoding="utf-8")
    os.mkfifo(handed_in / "pipe")
    copy_files(handed_in, tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["data.csv"]


def test_deleting_everything_deletes_nothing(marks: Judge, tiny: Path, handed_in: Path) -> None:
    (handed_in / "mine.txt").write_text("kept", encoding="utf-8")
    result = marks("import os, shutil\nfor name in os.listdir('/'):\n    shutil.rmtree('/' + name, ignore_errors=True)\n" + RIGHT)
    assert result["test_answer"] is None
    assert (handed_in / "mine.txt").read_text(encoding="utf-8") == "kept"
    assert (tiny / "source" / "tiny" / "tiny.ipynb").exists() and Path(classroom.sandbox.__file__).exists()


def test_there_is_no_network_not_even_the_hosts_own(handed_in: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with Student(handed_in) as student:
            student.ask({"cell": f"import socket\nfor host in ('127.0.0.1', '192.0.2.1'):\n    try:\n        socket.create_connection((host, {port}), 2)\n        print('reached')\n"
                                 "    except OSError:\n        print('nothing')"})  # fmt: skip
            assert student.printed.split() == ["nothing", "nothing"]


def test_printing_a_gigabyte_is_stopped(marks: Judge) -> None:
    result = marks("line = 'x' * 1_000_000\nfor _ in range(1000):\n    print(line)")
    assert "printed more than 5 MB" in str(result["test_scale"])


@pytest.mark.parametrize("code", [
    "import builtins\nbuiltins.AssertionError = type('Calm', (Exception,), {})\nbuiltins.__build_class__ = None",
    "import torch\ntorch.allclose = lambda *a, **k: True\ntorch.equal = lambda *a, **k: True\ntorch.Tensor.__eq__ = lambda *a: True",
    "get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)\nget_ipython().run_cell = lambda *a, **k: None",
    "import sys\nsys.excepthook = lambda *a: None\nsys.settrace(lambda *a: None)",
    "def test_scale():\n    return True\nimport hypothesis\nhypothesis.given = lambda *a, **k: (lambda f: (lambda: None))",
    "import sys, types\nsys.modules['torch'] = types.SimpleNamespace(allclose=lambda *a: True)",
    "import atexit, gc\nfor thing in gc.get_objects():\n    if isinstance(thing, dict) and 'variant' in thing:\n        thing['variant'] = {'factor': 1}",
])  # fmt: skip
def test_no_trick_inside_the_students_process_earns_a_point(marks: Judge, code: str) -> None:
    assert marks(code + WRONG)["test_scale"] is not None


def test_an_object_that_is_equal_to_everything_is_no_value(marks: Judge) -> None:
    code = "class Any:\n    def __eq__(self, other): return True\n    def __torch_function__(self, *a, **k): return True\ndef scale(x):\n    return Any()"
    assert "no plain value" in str(marks(code)["test_scale"])


@pytest.mark.parametrize("code", ["import sys\nsys.exit(0)", "import os\nos._exit(0)", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "exit()", "import os\nos.closerange(3, 99)"])
def test_ending_the_process_earns_nothing(marks: Judge, code: str) -> None:
    assert marks(code + "\n" + WRONG)["test_scale"] is not None


def test_killing_every_process_in_sight_ends_only_the_students(marks: Judge) -> None:
    assert marks("import os, signal\nos.kill(-1, signal.SIGKILL)" + WRONG)["test_scale"] is not None
    assert marks(RIGHT)["test_scale"] is None


@pytest.mark.parametrize("written", ['{"value": 21}\n' * 50, "[" * 100_000 + "\n", "garbage\n", "x" * (30 << 20)])
def test_writing_into_the_graders_channel_earns_nothing(marks: Judge, written: str) -> None:
    length, unit = len(written), written[:20] if len(set(written)) < 3 else written
    code = f"import os\ntext = ({unit!r} * {length // len(unit) + 1})[:{length}].encode()\nfor number in range(3, 20):\n    try:\n        os.write(number, text)\n    except OSError:\n        pass\n"
    assert marks(code + WRONG)["test_scale"] is not None


@pytest.mark.parametrize("returned", ["'x' * (30 << 20)", "[[]] * 10**7", "(lambda f, n: f(f, n))(lambda f, n: [] if n == 0 else [f(f, n - 1)], 900)"])
def test_a_monstrous_value_fails_the_test_and_nothing_else(marks: Judge, returned: str) -> None:
    assert marks(f"def scale(x):\n    return {returned}")["test_scale"] is not None


def test_metadata_that_say_skip_my_tests_are_ignored(marks: Judge) -> None:
    cells = []
    for made in CELLS:
        name = made.metadata["nbgrader"]["grade_id"]
        if name == "test_answer":
            continue  # deleted
        source = {"scale": WRONG, "test_scale": "pass", "variant": "variant = {'factor': 1}", "answer": "answer = 0"}.get(name, made.source)
        marked = dict(made.metadata["nbgrader"]) | {"points": 100, "grade": False, "solution": True, "locked": False}
        cells.append({"cell_type": "raw" if name == "test_scale" else "code", "metadata": {"nbgrader": marked, "tags": ["skip"]}, "source": source})
    result = marks("", cells=cells)
    assert result == {"test_scale": "scale: by how much?", "test_answer": "answer: which one?"}


def test_a_second_cell_with_the_name_of_a_test_is_not_run_in_its_place(marks: Judge) -> None:
    doubled = [*CELLS, {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": "scale"}}, "source": RIGHT}]
    cells = [dict(made) | ({"source": WRONG} if made["metadata"]["nbgrader"]["grade_id"] == "scale" and made["source"] != RIGHT else {}) for made in doubled]
    assert marks("", cells=cells)["test_scale"] == "scale: by how much?"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"cells": 3}', '{"cells": ' + "[" * 100_000, "\x00\x01"])
def test_what_is_no_notebook_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tiny.ipynb"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="is not a notebook that can be read"):
        read_submission(file)


def test_without_a_sandbox_nothing_runs_unless_asked_for(monkeypatch: pytest.MonkeyPatch, handed_in: Path) -> None:
    monkeypatch.setattr(classroom.sandbox.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="Install bubblewrap"):
        Student(handed_in)
    with Student(handed_in, unsafe=True) as student:
        assert student.ask({"cell": "print(1)"}) == {"ok": True} and student.printed.strip() == "1"


def test_a_sandbox_that_does_not_start_is_said_and_marks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a system that forbids user namespaces: the program is there and fails."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(InputError, match="does not start: setting up uid map"):
        classroom.sandbox.check()


def test_podman_is_called_without_network_rights_or_a_file_that_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where bubblewrap is missing. The command alone: podman itself cannot run in every machine that tests."""
    monkeypatch.setattr(classroom.sandbox.shutil, "which", lambda name: name if name == "podman" else None)
    assert classroom.sandbox.method() == "podman"
    words = classroom.sandbox.command("podman", tmp_path, 1)
    assert {"--network=none", "--read-only", "--cap-drop=all", "--user=1:1"} <= set(words)
    assert all(word.endswith(":ro") for word in words if word.startswith("--volume="))
    assert not [word for word in words if "assignments" in word or "gradebook" in word]


def test_a_container_ends_with_the_student(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is no child of the process that asked for it."""
    fake = tmp_path / "podman"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\ntest "$1" = rm || exec sleep 60\n', encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(classroom.sandbox, "method", lambda unsafe: "podman")
    (tmp_path / "handed_in").mkdir()
    with Student(tmp_path / "handed_in") as student, pytest.raises(Ended):
        student.ask({"cell": "while True: pass"}, 1)
    began, ended = (tmp_path / "said").read_text(encoding="utf-8").splitlines()
    assert f"--name={ended.split()[-1]} " in began and ended.startswith("rm --force")
