"""A node's folder: where its keys, settings, database, tables, outputs and sockets lie.

The folder is the party's folder too (``channel.identity``). While a node runs it holds a lock on
``run/node.lock``; the file states which process that is, with its start time, so that a recycled
process number is not mistaken for the node.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atoll.channel.identity.files import write_atomic
from atoll.core.processes import start_time
from atoll.jobs.errors import ConflictError, EnvironmentFault

_SOCKET_PATH_BYTES = 100
_OWN = 0o700
_SECRET = 0o600


@dataclass(frozen=True)
class NodeFolder:
    """The paths of a node."""

    root: Path

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.root / "atoll.toml"

    @property
    def data(self) -> Path:
        """The node's own tables."""
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        """Outputs by digest."""
        return self.root / "artifacts"

    @property
    def jobs(self) -> Path:
        """Logs and working files by job."""
        return self.root / "jobs"

    @property
    def run(self) -> Path:
        """Sockets, the lock, and where the API is."""
        return self.root / "run"

    @property
    def backups(self) -> Path:
        """Backups."""
        return self.root / "backups"

    @property
    def log(self) -> Path:
        """What the node writes."""
        return self.root / "log" / "node.log"

    @property
    def database(self) -> Path:
        """The database file, unless the settings name a server."""
        return self.root / "atoll.db"

    @property
    def http(self) -> Path:
        """Where the API of the running node is, and the token of this machine's administrator."""
        return self.run / "http"

    @property
    def gateway_socket(self) -> Path:
        """Where workers reach their gateway."""
        return self.sockets / "gateway"

    @property
    def sockets(self) -> Path:
        """A short path for sockets: their names may have 100 bytes only."""
        own = self.run / "sockets"
        if len(os.fsencode(own.resolve())) + 40 <= _SOCKET_PATH_BYTES:
            return own
        # Too deep a folder: a place of this user's, named by the folder's own number.
        number = f"{self.root.stat().st_dev:x}-{self.root.stat().st_ino:x}"
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108 -- checked below
        return base / f"atoll-{os.getuid()}-{number}"

    def make(self) -> None:
        """Make what is missing; private to this user. Errors: ATL-NOD-002 not writable."""
        with self._usable():
            for path in (self.root, self.data, self.artifacts, self.jobs, self.run, self.backups):
                path.mkdir(mode=_OWN, parents=True, exist_ok=True)
            self.log.parent.mkdir(mode=_OWN, exist_ok=True)
            sockets = self.sockets
            sockets.mkdir(mode=_OWN, exist_ok=True)
            seen = sockets.lstat()
        if seen.st_uid != os.getuid() or seen.st_mode & 0o077 or not sockets.is_dir():
            raise EnvironmentFault(
                "ATL-NOD-002",
                "others can reach the folder of the node's sockets",
                place=str(sockets),
                hint="remove it, or make it private: chmod 700",
            )

    def clear(self) -> None:
        """Remove the sockets of a node that was killed; only with the lock. Errors: ATL-NOD-002."""
        with self._usable():
            sockets = self.sockets
            for path in sockets.iterdir() if sockets.is_dir() else ():
                path.unlink(missing_ok=True)

    def _leave_sockets(self) -> None:
        """Remove the sockets' folder where it lies elsewhere than in the node's own."""
        if self.sockets.parent != self.run:
            with suppress(OSError):
                self.clear()
                self.sockets.rmdir()

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EnvironmentFault(
                "ATL-NOD-002",
                f"the node's folder cannot be used: {error.strerror}",
                place=str(error.filename or self.root),
                hint="check that it belongs to the node's user, can be written, and has room",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the node's lock. Errors: ATL-NOD-001 a node runs in this folder already."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        with self._usable():
            self.run.mkdir(mode=_OWN, parents=True, exist_ok=True)
            descriptor = os.open(self.run / "node.lock", flags, _SECRET)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConflictError(
                    "ATL-NOD-001",
                    "a node runs in this folder already",
                    place=str(self.root),
                    hint="see it with `atoll status`, stop it with `atoll down`",
                ) from error
            mark = json.dumps({"pid": os.getpid(), "started": start_time(os.getpid())})
            with self._usable():
                # What a node that was killed wrote of its API does not hold for this one.
                self.http.unlink(missing_ok=True)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, mark.encode(), 0)
            try:
                yield
            finally:
                self.http.unlink(missing_ok=True)
                self._leave_sockets()
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def running(self) -> int | None:
        """Return the process number of the node that runs here, if one does."""
        try:
            mark = json.loads((self.run / "node.lock").read_text(encoding="ascii"))
            number = int(mark["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return number if start_time(number) == mark.get("started") else None

    def write_http(self, url: str, token: str) -> None:
        """Write where the API is; readable by this user alone."""
        write_atomic(self.http, json.dumps({"url": url, "token": token}).encode(), _SECRET)

    def read_http(self) -> dict[str, Any] | None:
        """Return where the API of the running node is, if one runs."""
        try:
            found: dict[str, Any] = json.loads(self.http.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return found
