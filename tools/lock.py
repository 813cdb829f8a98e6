"""Bring requirements.lock in step with pyproject.toml: one version of each package for Python 3.11 to 3.13 on every system.

Run: python tools/lock.py [--upgrade]   (versions that still fit are kept; with --upgrade each is the newest that fits)

`uv` resolves for all systems at once, in an environment of its own. CUDA's libraries are left out: they come with the
build of PyTorch that needs them, so that the lock serves machines with and without a GPU.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEADER = "# Made by `make lock`: the exact versions that the checks passed with.\n"
LEFT_OUT = re.compile(r"(nvidia|cuda)-|triton==|.*sys_platform == 'emscripten'")


def main() -> None:
    """Resolve beside the old lock, whose versions `uv` prefers, then write the new one."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
        resolved = Path(folder, "resolved.txt")
        shutil.copy(ROOT / "requirements.lock", resolved)
        command = [str(python), "-m", "uv", "pip", "compile", str(ROOT / "pyproject.toml"), "--universal", "--quiet"]
        command += ["--all-extras", "--python-version=3.11", "--no-annotate", "--no-header", f"--output-file={resolved}", *sys.argv[1:]]
        subprocess.run(command, check=True)
        lines = resolved.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not LEFT_OUT.match(line)]
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
