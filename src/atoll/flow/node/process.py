"""Starts, finds and stops the process of a node."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atoll.core.errors import AtollError, NetworkError
from atoll.core.processes import start_time
from atoll.flow.node.folder import NodeFolder
from atoll.jobs.errors import ConflictError, EnvironmentFault, NotFoundError

_POLL_SECONDS = 0.05
_TAIL_BYTES = 8192
# Whoever started a node need not outlive it, but must collect it if it does.
_STARTED: list[subprocess.Popen[bytes]] = []
_STARTING = threading.Lock()


@dataclass(frozen=True)
class Running:
    """A node that runs: its process, and where its API is."""

    pid: int
    url: str
    token: str


def find(folder: NodeFolder) -> Running | None:
    """Return the node that runs in a folder, once its API is there."""
    pid, http = folder.running(), folder.read_http()
    if pid is None or http is None:
        return None
    return Running(pid, str(http["url"]), str(http["token"]))


def require(folder: NodeFolder) -> Running:
    """Return the node that runs in a folder. Errors: ATL-NOD-003 none does."""
    found = find(folder)
    if found is None:
        raise NetworkError(
            "ATL-NOD-003",
            "no node runs in this folder",
            place=str(folder.root),
            hint=f"start it: atoll up --folder {folder.root}",
        )
    return found


def up(
    folder: NodeFolder,
    command: Sequence[str],
    *,
    flags: Mapping[str, Any] | None = None,
    seconds: float = 60.0,
    notify: Callable[[str], None] = lambda text: None,
) -> Running:
    """Start a node in the background by its ``command`` and wait until its API answers.

    Errors: ATL-NOD-001 one runs already, ATL-NOD-004 it did not start (with the end of its log),
    ATL-NOD-005 there is no node in the folder.
    """
    check_folder(folder)
    if folder.running() is not None:
        raise ConflictError(
            "ATL-NOD-001",
            "a node runs in this folder already",
            place=str(folder.root),
            hint="see it with `atoll status`",
        )
    folder.make()
    begin = folder.log.stat().st_size if folder.log.exists() else 0
    chosen = [f"--set={key}={value}" for key, value in (flags or {}).items()]
    with folder.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 -- the node's own command
            [*command, *chosen],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _collect(process)
    notify(f"starting (log: {folder.log})")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = find(folder)
        if found is not None and found.pid == process.pid:
            return found
        if process.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    else:
        process.terminate()
    raise _not_started(folder, begin)


def check_folder(folder: NodeFolder) -> None:
    """Refuse a folder that holds no node. Errors: ATL-NOD-005."""
    if not (folder.root / "party.json").exists():
        raise NotFoundError(
            "ATL-NOD-005",
            "there is no node in this folder",
            place=str(folder.root),
            hint=f"make one: atoll init PARTY --folder {folder.root}",
        )


def _not_started(folder: NodeFolder, begin: int) -> AtollError:
    size = folder.log.stat().st_size
    with folder.log.open("rb") as file:
        # Smaller than before: it started over meanwhile.
        file.seek(max(begin if begin <= size else 0, size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    last = next((line for line in reversed(lines) if "ATL-" in line), lines[-1] if lines else "")
    return EnvironmentFault(
        "ATL-NOD-004",
        f"the node did not start: {last}" if last else "the node did not start",
        place=str(folder.log),
        hint="the log has more; `atoll doctor` checks for the usual causes",
    )


def down(folder: NodeFolder, *, seconds: float = 60.0) -> bool:
    """Stop a node in order, and by force once the time is over; return whether one ran."""
    pid = folder.running()
    if pid is None:
        return False
    started = start_time(pid)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while started is not None and start_time(pid) == started:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(_POLL_SECONDS)
    _collect()
    return True


def _collect(*more: subprocess.Popen[bytes]) -> None:
    """Let go of the children that have ended, and hold these."""
    with _STARTING:
        _STARTED[:] = [child for child in (*_STARTED, *more) if child.poll() is None]


def _let_go() -> None:
    """Nodes outlive whoever started them: that is no reason for a warning."""
    _collect()
    for child in _STARTED:
        child.returncode = 0


atexit.register(_let_go)


def default_folder() -> Path:
    """Return the node's folder where none is named: ``ATOLL_HOME``, else ``~/.atoll``."""
    return Path(os.environ.get("ATOLL_HOME") or Path.home() / ".atoll")
