"""For drills, with ``ATOLL_INSECURE_SIMULATION``: the node's process dies at a commit of its jobs.

``ATOLL_FAULT_KILL_COMMIT`` names a file. Once it holds ``before N`` or ``after N``, the process is
killed right before or right after its N-th commit from then on that changes a job; with
``after end`` right after the commit that ends one.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from atoll.core.settings import require_insecure

KILL_COMMIT = "ATOLL_FAULT_KILL_COMMIT"


class CommitFault:
    """Counts commits. ``before`` and ``after`` are called around each one, by one thread."""

    def __init__(self, order: Path) -> None:
        self._order = order
        self._given = ""
        self._count = 0

    def before(self) -> None:
        """Count one commit that is about to be made."""
        try:
            given = self._order.read_text(encoding="ascii")
        except OSError:
            given = ""
        if given != self._given:
            self._given, self._count = given, 0
        self._count += 1
        self._strike("before")

    def after(self, *, end: bool) -> None:
        """A commit was made, perhaps of a job's end; nothing has had effect yet."""
        self._strike("after")
        if end and self._given == "after end":
            _die()

    def _strike(self, moment: str) -> None:
        if self._given == f"{moment} {self._count}":
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def commit_fault() -> CommitFault | None:
    """Return the fault that the environment asks for. Errors: ATL-SET-001 on a real node."""
    order = os.environ.get(KILL_COMMIT)
    if not order:
        return None
    require_insecure("a node that dies on demand")
    return CommitFault(Path(order))
