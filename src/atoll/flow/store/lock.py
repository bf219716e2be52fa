"""The lock file beside a SQLite database: one process opens it for writing, no second.

The operating system's lock decides, and falls away with its process. What the file holds (process
id and start time) is for people, and for file systems on which that lock does nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from atoll.core.processes import start_time
from atoll.jobs.errors import ConflictError, EnvironmentFault


class FileLock:
    """Held from ``acquire`` to ``release``. Errors: ATL-STO-007 another holds it, ATL-STO-001."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock; return whether the last holder ended without giving it back."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise EnvironmentFault(
                "ATL-STO-001",
                f"the lock file of the database cannot be opened: {error.strerror}",
                place=str(self.path),
            ) from error
        try:
            last = self._take(file)
            mine = {"pid": os.getpid(), "started": start_time(os.getpid())}
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(mine).encode(), 0)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return last is not None

    def _take(self, file: int) -> dict[str, Any] | None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        last = _holder(os.pread(file, 4096, 0))
        if not free or (last is not None and _lives(last)):
            who = f"process {last['pid']}" if last else "another process"
            raise ConflictError(
                "ATL-STO-007",
                f"the database is open for writing in {who}",
                place=str(self.path),
                hint="a node runs here already: use it, or stop it first (atoll down)",
            )
        return last

    def release(self) -> None:
        """Give the lock back; more than once does no harm."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None


def _holder(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    good = isinstance(value, dict) and isinstance(value.get("pid"), int)
    return value if good else None


def _lives(holder: dict[str, Any]) -> bool:
    begin = start_time(holder["pid"])
    # Earlier versions wrote the time as text.
    same = begin is not None and str(begin) == str(holder.get("started"))
    return same and holder["pid"] != os.getpid()
