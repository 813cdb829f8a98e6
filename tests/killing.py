"""Runs that are killed, for tests of what is left: copies of this process, and `kill -9` at a line that is asked for."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="one process imports kdlib once and forks the runs to be killed")


def fork(run: Callable[[], Any]) -> int:
    """Start ``run`` in a copy of this process."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            run()
            code = 0
        finally:
            os._exit(code)
    return pid


def die_at(step: int, *files: str) -> list[int]:
    """Count the lines that files with these endings execute; ``kill -9`` this process at line ``step`` (−1: at none; 0: no counting)."""
    count = [0]

    def line(frame: Any, event: str, argument: Any) -> Any:
        if event == "line":
            count[0] += 1
            if count[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    def call(frame: Any, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename.endswith(files) else None

    if step:
        sys.settrace(call)
    return count
