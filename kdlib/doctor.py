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
    python, pip = f"{platform.python_version()} on {platform.system()}", importlib.util.find_spec("pip") is not None
    findings = [Finding("python", python, (3, 11) <= sys.version_info[:2] <= (3, 13), "use Python 3.11 to 3.13."),
                Finding("versions", versions), Finding("cores", str(os.cpu_count())),
                Finding("memory", f"{memory:.1f} GiB available", memory >= 4, "close other programs: a report needs 4 GiB, a full one 7."),
                gpu_finding(),
                Finding("fonts", f"Noto Sans SC for Chinese in figures, from zhplot {importlib.metadata.version('zhplot')}"),
                Finding("pip", "found" if pip else "missing", pip, "run python -m ensurepip."),
                Finding("cache", f"{home()}, {free:.0f} GiB free", free >= 5, "make room, or set KDLIB_HOME to another disk.")]  # fmt: skip
    for name, source in load_sources().items():
        present = source_folder(source).is_dir()
        findings.append(Finding(f"source {name}", source.requirement if present else "not fetched", present, f"run kdlib fetch {name}."))
    return findings


def gpu_finding() -> Finding:
    """Which GPU PyTorch uses, and what is wrong where the machine has one that it does not use."""
    if torch.cuda.is_available():
        count, built = torch.cuda.device_count(), f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm"
        bf16 = "yes" if torch.cuda.is_bf16_supported(including_emulation=False) else "no, so mixed precision means fp16"
        return Finding("gpu", f"{count} × {torch.cuda.get_device_name(0)}, used by PyTorch ({built}), bfloat16: {bf16}")
    if torch.backends.mps.is_available():
        return Finding("gpu", "Apple MPS, used by PyTorch")
    if shutil.which("nvidia-smi") is None:
        return Finding("gpu", "none, which is fine: everything here runs on the CPU")
    other = "install PyTorch for CUDA (notebook 08, section 1): this one was built for the CPU."
    driver = f"run nvidia-smi: PyTorch needs a driver for CUDA {torch.version.cuda}, and CUDA_VISIBLE_DEVICES must not hide the GPU."
    return Finding("gpu", "NVIDIA, not used by PyTorch", False, driver if torch.version.cuda else other)
