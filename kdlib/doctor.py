"""What a reader's machine brings, one finding a line, with a remedy where something is missing."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from typing import NamedTuple

import psutil
import torch

from .files import home
from .sources import load_sources, source_folder


class Finding(NamedTuple):
    """One line of ``kdlib doctor``: ``fine`` is False where ``remedy`` is worth reading."""

    name: str
    value: str
    fine: bool = True
    remedy: str = ""


def diagnose() -> list[Finding]:
    """Look at versions, cores, memory, GPU, fonts, disk, cache and fetched sources; nothing is changed or downloaded."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "datasets"))
    memory, free = psutil.virtual_memory().available / 2**30, shutil.disk_usage(home()).free / 2**30
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "Apple MPS" if torch.backends.mps.is_available() else ""
    python, pip = f"{platform.python_version()} on {platform.system()}", importlib.util.find_spec("pip") is not None
    findings = [Finding("python", python, (3, 11) <= sys.version_info[:2] <= (3, 13), "use Python 3.11 to 3.13."),
                Finding("versions", versions), Finding("cores", str(os.cpu_count())),
                Finding("memory", f"{memory:.1f} GiB available", memory >= 4, "close other programs: a report needs 4 GiB, a full one 7."),
                Finding("gpu", gpu or "none, which is fine: everything here runs on the CPU"),
                Finding("fonts", f"Noto Sans SC for Chinese in figures, from zhplot {importlib.metadata.version('zhplot')}"),
                Finding("pip", "found" if pip else "missing", pip, "run python -m ensurepip."),
                Finding("cache", f"{home()}, {free:.0f} GiB free", free >= 5, "make room, or set KDLIB_HOME to another disk.")]  # fmt: skip
    for name, source in load_sources().items():
        present = source_folder(source).is_dir()
        findings.append(Finding(f"source {name}", source.requirement if present else "not fetched", present, f"run kdlib fetch {name}."))
    return findings
