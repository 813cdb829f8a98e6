"""Write requirements.lock: what pip chooses for kdlib[test,onnx] in a clean environment, for every platform.

Packages that only one platform has (CUDA libraries, terminals) are left to pip: they come with what needs them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEFT_OUT = ("nvidia-", "cuda-", "triton", "kdlib", "pexpect", "ptyprocess", "terminado", "pywinpty", "colorama", "appnope", "uvloop")


def main() -> None:
    """Install into a temporary environment, freeze, filter, write."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(next(Path(folder).glob("*/python*")))
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"{ROOT}[test,onnx]"], check=True)
        frozen = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    pins = [line.split("+")[0] for line in frozen.splitlines() if "==" in line and not line.lower().startswith(LEFT_OUT)]
    header = "# Made by `make lock`: the exact versions that the checks passed with.\n"
    (ROOT / "requirements.lock").write_text(header + "\n".join(pins) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
