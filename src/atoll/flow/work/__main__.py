"""``python -m atoll.flow.work``: a worker process; tasks on its input, events on its output.

JSON lines down: ``{"do": "task", …}`` (see ``TaskSpec``), ``{"do": "cancel"}``. The end of the
input ends the process at once, so that none outlives its node. Heavy imports happen before the
first task, on a thread with low priority where the pool asks for that. With ``--forks`` the process
becomes a fork server instead (see there), and each process that splits off it such a worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atoll.components.api import Component

_PR_SET_PDEATHSIG = 1


def _option(name: str) -> int:
    """Return the number of a ``--name=number`` argument; 0 without."""
    prefix = f"--{name}="
    return next((int(a[len(prefix) :]) for a in sys.argv[1:] if a.startswith(prefix)), 0)


def _die_with(parent: int) -> None:
    """Let the system kill this process when the one that started it dies, where it can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent and os.getppid() != parent:
        os._exit(1)


def _own_pipes() -> tuple[int, int]:
    """Return the pipes from and to the pool; whatever else reads or prints cannot disturb them."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return source, sink


def _warm(nice: int) -> None:
    """Import what tasks need."""

    def load() -> None:
        if nice:
            # Of this thread alone: it cannot be taken back without privileges.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
        import atoll.flow.work.serve

        atoll.flow.work.serve.prepare()

    thread = threading.Thread(target=load, name="warm")
    thread.start()
    thread.join()


def main(catalogue: Mapping[str, Component] | None = None) -> int:
    """Serve the pool until it closes our input; with another catalogue in tests."""
    parent, nice = _option("parent"), _option("nice")
    _die_with(parent)
    if "--forks" in sys.argv:
        from atoll.flow.work import fork_server

        _warm(nice)
        fork_server.serve(parent)
        _die_with(parent)
        source, sink = _own_pipes()
    else:
        source, sink = _own_pipes()
        _warm(nice)
    from atoll.flow.work.serve import Server

    return Server(source, sink, catalogue).serve()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # A task that hangs must not keep the process.
    os._exit(code)
