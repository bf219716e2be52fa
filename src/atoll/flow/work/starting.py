"""How a pool gets its worker processes: split off a server that has imported, else from scratch."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from atoll.flow.work import fork_server
from atoll.flow.work.process import Pipes, Process, environment

_LOG = logging.getLogger(__name__)
_PR_SET_CHILD_SUBREAPER = 36
_ANSWER_SECONDS = 10.0
_END_SECONDS = 3.0
_RETRY_SECONDS = (0.0, 1.0, 5.0, 30.0)
# Threads of libraries that a server must not have; workers do without as well.
_CALM = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
# Groups of dead workers in which processes may be left that this process has to wait for.
_GROUPS: set[int] = set()


class ForkServer:
    """The pool's end of a fork server. Its socket reports when it is ready, unable or gone."""

    def __init__(self, command: Sequence[str], folder: Path, extra: Mapping[str, str]) -> None:
        """Start one. Errors: OSError."""
        self.ready = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_ANSWER_SECONDS)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, "--forks"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd=folder,
                env=environment({**_CALM, **extra}),
                start_new_session=True,
            )
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    @property
    def descriptor(self) -> int:
        """What becomes readable when it has sent something, or is gone."""
        return self._socket.fileno()

    def receive(self) -> tuple[str, str]:
        """Return what it sent: a word and its object; empty if it is gone."""
        try:
            data = self._socket.recv(fork_server.MESSAGE_BYTES)
        except OSError:
            data = b""
        word, _, rest = data.decode("utf-8", "replace").partition(" ")
        return word, rest

    def fork(self) -> Process:
        """Return a worker of its own session that has imported what it needs. Errors: OSError."""
        pipes = Pipes()
        try:
            socket.send_fds(self._socket, [b"worker"], list(pipes.theirs))
            word, rest = self.receive()
            if word != fork_server.MADE:
                failed = word == fork_server.FAILED and rest.isdecimal()
                number = int(rest) if failed else errno.EPIPE
                raise OSError(number, os.strerror(number))
            return Process(int(rest), pipes, partial(_wait, int(rest)))
        except BaseException:
            pipes.close()
            raise

    def close(self) -> None:
        """End it; its workers stay."""
        self._socket.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _wait(pid: int) -> int:
    """Wait for a child that another process made for this one; return how it died."""
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        code = -signal.SIGKILL
    # What it left running was killed before, and is ours to wait for: now, or at the next time.
    _GROUPS.add(pid)
    for group in list(_GROUPS):
        try:
            while os.waitpid(-group, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            _GROUPS.discard(group)
    return code


class Starter:
    """Makes worker processes for a pool, on the pool's thread alone.

    ``python`` and ``arguments`` are the program, ``folder`` and ``extra`` where and with what
    environment it runs. A server that cannot be had (its libraries start threads, it dies while it
    imports, or the system has no means) is replaced by fresh interpreters.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        extra: Mapping[str, str],
        selector: selectors.BaseSelector,
        now: Callable[[], float],
        *,
        forks: bool,
        start_seconds: float,
    ) -> None:
        self._command = [*command, f"--parent={os.getpid()}"]
        self._folder = folder
        self._extra = extra
        self._selector = selector
        self._now = now
        self._start_seconds = start_seconds
        self._able = forks and _become_reaper()
        self._server: ForkServer | None = None
        self._failures = 0
        self._moment = 0.0

    @property
    def server(self) -> int | None:
        """The process of the server, while there is one."""
        return self._server.pid if self._server else None

    @property
    def getting_ready(self) -> bool:
        """Whether a server is about to be ready: to wait for it is the fastest way to a worker."""
        return self._server is not None and not self._server.ready

    @property
    def moment(self) -> float | None:
        """When it wants to be tended, if nothing happens before."""
        if self.getting_ready or (self._able and self._server is None and self._failures):
            return self._moment
        return None

    def maintain(self, *, nice: int, wanted: bool) -> None:
        """Give a server up that takes too long; start one that is wanted, or was lost."""
        if self.getting_ready and self._moment <= self._now():
            self._lose("it was not ready in time")
        idle = not wanted and not self._failures
        if idle or not self._able or self._server is not None or self._moment > self._now():
            return
        try:
            self._server = ForkServer(self._with(nice), self._folder, self._extra)
        except OSError as error:
            self._failed(f"it could not be started: {error.strerror}")
            return
        self._moment = self._now() + self._start_seconds
        self._selector.register(self._server.descriptor, selectors.EVENT_READ, self)

    def on_message(self) -> None:
        """Take what the server sends unasked."""
        if self._server is None:
            return
        word, rest = self._server.receive()
        if word == fork_server.READY:
            self._server.ready = True
        elif word == fork_server.UNABLE:
            _LOG.warning("workers start as fresh interpreters: the fork server has %s", rest)
            self._able = False
            self.close()
        else:
            self._lose("it ended by itself")

    def start(self, *, nice: int) -> Process:
        """Return a new worker process. Errors: OSError."""
        if self._server is not None and self._server.ready:
            try:
                made = self._server.fork()
                self._failures = 0
                return made
            except OSError as error:
                self._lose(f"it made no worker: {error.strerror}")
        return Process.start(self._with(nice), self._folder, self._extra)

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._selector.unregister(self._server.descriptor)
            self._server.close()
            self._server = None

    def _with(self, nice: int) -> list[str]:
        return [*self._command, f"--nice={nice}"] if nice else list(self._command)

    def _lose(self, reason: str) -> None:
        self.close()
        self._failed(reason)

    def _failed(self, reason: str) -> None:
        """Wait longer and longer before another is started to no use."""
        _LOG.warning("the fork server is gone: %s", reason)
        self._moment = self._now() + _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
        self._failures += 1


def _become_reaper() -> bool:
    """Have orphans of this process's children become its children; False where that is unknown."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    try:
        done: int = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        return False
    return done == 0
