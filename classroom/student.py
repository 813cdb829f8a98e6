"""The process in which a student's code runs, inside the sandbox. It is told what to do line by line and answers in lines of JSON.

{"cell": source}                          runs a cell                -> {"ok": true} or {"error": [type, message]}
{"names": [name, ...]}                    reads variables            -> {"names": {name: {"value": ...} | {"function": true} | {"error": ...}}}
{"call": name, "args": ..., "kwargs": …}  calls a function           -> {"value": ...} or {"error": [type, message]}

What it answers is not trusted. What a cell prints goes to stderr, which the grader reads and cuts.
"""

import json
import os
import resource
import subprocess
import sys
from typing import Any

LIMITS = {
    "NPROC": "processes",
    "AS": "address_space",
    "FSIZE": "file_size",
    "NOFILE": "open_files",
    "CPU": "processor_seconds",
    "CORE": "core",
}


def main() -> None:
    """Take the limits on before any code of a student's runs, then answer until the grader closes the pipe."""
    limits = json.loads(sys.argv[1])
    for name, key in LIMITS.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limits[key], limits[key]))
    requests, replies = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # print goes where the grader cuts it
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace", buffering=1)
    if len(sys.argv) > 2:  # the files that were handed in, into the folder that may be written
        subprocess.run(["cp", "-r", sys.argv[2] + "/.", "."], check=True)
    sys.path[0] = os.getcwd()
    shell = start()
    for line in requests:
        reply = json.dumps(answer(shell, json.loads(line)))
        sys.stdout.flush()
        replies.write(reply + "\n")
        replies.flush()


def start() -> Any:
    """An IPython shell without history and colours, so that magics work as in the student's notebook."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    return InteractiveShell.instance(config=config)


def answer(shell: Any, request: dict[str, Any]) -> dict[str, Any]:
    """What a request asks for; an exception of the student's becomes its name and message."""
    from classroom.wire import decode, encode

    try:
        if "cell" in request:
            result = shell.run_cell(request["cell"], store_history=False)
            error = result.error_before_exec or result.error_in_exec
            return {"ok": True} if error is None else failure(error)
        if "names" in request:
            return {"names": {name: variable(shell.user_ns[name], encode) for name in request["names"] if name in shell.user_ns}}
        return {"value": encode(shell.user_ns[request["call"]](*decode(request["args"]), **decode(request["kwargs"])))}
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: the next request is answered all the same
        return failure(error)


def variable(value: Any, encode: Any) -> dict[str, Any]:
    """A variable for the judge: a function stays here and is called by name."""
    if callable(value):
        return {"function": True}
    try:
        return {"value": encode(value)}
    except TypeError as error:
        return {"error": str(error)}


def failure(error: BaseException) -> dict[str, Any]:
    """An exception as its type's name and its first 500 characters."""
    said = error.args[0] if len(error.args) == 1 else error  # a KeyError puts quotes around its message
    return {"error": [type(error).__name__, str(said)[:500]]}


if __name__ == "__main__":
    main()
