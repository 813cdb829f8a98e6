"""JupyterHub for a class on one machine: accounts of the system, one folder for each student, assignments handed out at the start.

    jupyterhub -f examples/jupyterhub/jupyterhub_config.py     as root; the guide's page "Practice" has the steps before it

Names on the roster are the names of the accounts.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from collect import hand_out  # beside this file

c = get_config()  # type: ignore[name-defined]  # noqa: F821

COURSE = Path(os.environ.get("COURSE", "/srv/course")).resolve()  # what make assign made; for the lecturer's eyes only: chmod 700
SHARED = Path(os.environ.get("SHARED", "/srv/kdlib")).resolve()  # what kdlib fetched, for all to read
HOME = os.environ.get("HOMES", "~{}")  # where homes are, with {} for the student
HOUR = 3600

# Who may log in: the system's accounts (PAM), as far as they are on the roster.
roster = COURSE / "roster.json"
c.Authenticator.allowed_users = set(json.loads(roster.read_text(encoding="utf-8"))["students"]) if roster.exists() else set()

# The class reaches the hub through HTTPS: give ssl_key and ssl_cert here, or put a server in front that has them.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"


async def prepare(spawner: Any) -> None:
    """Before a student's server starts: what is new of the assignments, and links to what kdlib fetched."""
    try:
        new = await asyncio.to_thread(hand_out, COURSE, spawner.user.name, HOME, SHARED if SHARED.is_dir() else None)
        spawner.log.info("handed out to %s: %s", spawner.user.name, ", ".join(new) or "nothing new")
    except Exception:  # a full disk, say: the student has to get in to make room
        spawner.log.exception("nothing handed out to %s", spawner.user.name)


c.Spawner.pre_spawn_hook = prepare
c.Spawner.notebook_dir = "~/course"
c.Spawner.default_url = "/lab"
c.Spawner.disable_user_config = True  # what follows holds whatever a student writes into ~/.jupyter

# kdlib looks here: fetched files are links to SHARED, and what a student computes is the student's own.
c.Spawner.environment = {
    "KDLIB_HOME": lambda spawner: str(Path(HOME.format(spawner.user.name)).expanduser() / ".kdlib"),
    "OMP_NUM_THREADS": "1",
}

# Limits. Plain JupyterHub has none on memory, so the system's prlimit sets them: of address space, for each process (torch
# reserves more than it uses: try a smaller one before the class does), and of processes and threads, for each student.
GB = 1 << 30
c.Spawner.cmd = ["prlimit", f"--as={12 * GB}", "--nproc=1000", f"{sys.prefix}/bin/jupyterhub-singleuser"]
c.Spawner.args = [
    f"--MappingKernelManager.cull_idle_timeout={1 * HOUR}",  # a kernel that has done nothing for so long is shut down: memory is freed
    "--MappingKernelManager.cull_connected=True",  # also where its notebook is open in a browser
    f"--ServerApp.shutdown_no_activity_timeout={2 * HOUR}",  # then the server
]
c.JupyterHub.active_server_limit = 40  # students at a time
