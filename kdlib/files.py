"""Where files live, and how they are written so that a crash leaves nothing half done."""

import ctypes
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from tqdm.auto import tqdm

from .errors import InputError, explained, require


def home() -> Path:
    """The folder of everything fetched and computed: ``$KDLIB_HOME``, else the platform's user cache folder.

    Raises ``InputError`` where it cannot be written.
    """
    path = Path(os.environ.get("KDLIB_HOME") or user_cache_path("kdlib")).expanduser()
    with explained(f"The folder {path} cannot be written", "set the variable KDLIB_HOME to a folder of yours", OSError):
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    return path


def progress(steps: Any, what: str) -> Any:
    """One bar over ``steps``, gone when done; none with ``KDLIB_QUIET=1``, nor in logs."""
    elsewhere = False if "ipykernel" in sys.modules else None  # None: tqdm asks whether this is a terminal
    return tqdm(steps, desc=what, leave=False, disable=os.environ.get("KDLIB_QUIET") == "1" or elsewhere)


def packaged(*parts: str) -> Path:
    """A file that ships with the kit (``data/…``, ``notebooks/…``), in a checkout or an installed wheel."""
    for root in (Path(__file__).parent / "_shipped", Path(__file__).parent.parent):
        if (path := root.joinpath(*parts)).exists():
            return path
    raise FileNotFoundError(f"{'/'.join(parts)} does not ship with this installation of kdlib.")


@contextmanager
def written_aside(target: Path, folder: bool = False) -> Iterator[Path]:
    """A temporary path beside ``target`` (file or folder) that takes its place when the block ends well; ``folder`` makes one there.

    What stood at ``target`` before stays until then. Raises ``InputError`` where ``target`` cannot be written
    or the disk is full.
    """
    with explained(f"{target} cannot be written", "choose a folder of yours", OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent, ignore_cleanup_errors=True)
    with scratch as aside:
        new, old = Path(aside) / target.name, Path(aside) / f"{target.name}.old"
        try:
            if folder:
                new.mkdir()
            yield new
            if target.is_dir():
                target.replace(old)
            new.replace(target)
        except OSError as error:
            # ENOSPC, EDQUOT
            require(error.errno not in (28, 122), f"The disk that holds {target.parent} is full: make room, or set KDLIB_HOME to another disk.")
            raise
        finally:
            if old.exists() and not target.exists():
                old.replace(target)


def read_text(path: str | Path, form: str) -> str:
    """A text file of the reader's own in UTF-8, with or without a byte order mark; every line ends with ``\\n``. ``form`` says what is asked for.

    Raises ``InputError``: no such file, nothing in it, or bytes that are not UTF-8, with the number of their line.
    """
    file = Path(path).expanduser()
    require(file.is_file(), f"{file} is no file: give {form}.")
    remedy = "save the whole file as UTF-8, also where it was put together from several"
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = error.object[: error.start].count(b"\n") + 1, error.object[error.start]
        raise InputError(f"{file}, line {line}: the byte {byte:#04x} is not UTF-8: {remedy}.") from error
    require("\0" not in text, f"{file}, line {text.partition(chr(0))[0].count(chr(10)) + 1}: a zero byte, as in UTF-16: {remedy}.")
    require(text.strip(), f"{file} is empty: give {form}.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(file: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(file.read_bytes())


def write_json(file: Path, content: Any) -> None:
    """Write a small file aside and move it into place."""
    with written_aside(file) as aside:
        aside.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def save(folder: Path | str, *parts: Any) -> None:
    """Write a model, its tokenizer, … into one folder, each by its ``save_pretrained``."""
    for part in parts:
        part.save_pretrained(folder)


def locked(folder: Path, command: str) -> Any:
    """A lock on the folder until the block ends; the system drops it when the process dies, however it dies."""
    with explained(f"{folder} cannot be written", "choose a folder of yours", OSError):
        (folder / ".progress").mkdir(parents=True, exist_ok=True)
        with explained(f"Another {command} is at work in {folder}", "wait until it ends, or choose another folder", Timeout):
            return FileLock(folder / ".progress" / "lock").acquire(timeout=0)


def kept(area: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder ``KDLIB_HOME/area/key``, filled by ``build`` the first time; a second process waits for the one that builds."""
    folder = home() / area / key
    with FileLock(home() / "locks" / f"{area}-{key}"):
        if not folder.is_dir():
            with written_aside(folder, folder=True) as aside:
                build(aside)
            with suppress(AttributeError, OSError, TypeError):  # only glibc has it, and needs it: it keeps freed memory for itself
                ctypes.CDLL(None).malloc_trim(0)
    return folder
