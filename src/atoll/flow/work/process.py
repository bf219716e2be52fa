"""One worker process as its pool sees it: pipes that never block, its death, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LINE_BYTES = 16 << 20
_READ_BYTES = 1 << 16

# What a worker may know of its node's environment: no address or password of a database.
_PASSED = frozenset(
    {
        "ATOLL_DATA",
        "ATOLL_FAULT_KILL_AT",
        "ATOLL_INSECURE_SIMULATION",
        "ATOLL_NATIVE__SIMD",
        "ATOLL_TRACEBACK",
        "HOME",
        "LANG",
        "LD_LIBRARY_PATH",
        "PATH",
        "PYTHONHASHSEED",
        "PYTHONPATH",
        "TMPDIR",
        "TZ",
        "VIRTUAL_ENV",
    }
)


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker gets of this process's environment, and ``extra``."""
    kept = {n: v for n, v in os.environ.items() if n in _PASSED or n.startswith("LC_")}
    # Few arenas: what one task freed is there for the next, and idle workers stay small.
    return {"MALLOC_ARENA_MAX": "2", **kept, **extra}


class Lines:
    """Cuts what comes out of a pipe into lines."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete now. Errors: OverflowError beyond the limit."""
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        if len(rest) > self._limit or any(len(line) > self._limit for line in lines):
            raise OverflowError("a line is too long")
        return [bytes(line) for line in lines]


class Pipes:
    """The three pipes to a process that is about to be made: its ends and ours."""

    def __init__(self) -> None:
        self._open: list[int] = []
        try:
            for _ in range(3):
                self._open += os.pipe()
        except OSError:
            self.close()
            raise
        (source, stdin), (stdout, sink), (stderr, complaints) = zip(
            self._open[::2], self._open[1::2], strict=True
        )
        self.theirs = (source, sink, complaints)
        self.ours = (stdin, stdout, stderr)

    def handed_over(self) -> None:
        """Close the ends of the process, which has them now."""
        for descriptor in self.theirs:
            os.close(descriptor)
            self._open.remove(descriptor)

    def close(self) -> None:
        """Close everything that is open."""
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()


class Process:
    """A child process of a session of its own; calls are made under the pool's lock."""

    def __init__(self, pid: int, pipes: Pipes, wait: Callable[[], int]) -> None:
        """Take over a child that leads its own group; ``wait`` returns how it died, once."""
        self.pid = pid
        self._wait = wait
        self._code: int | None = None
        self._stdin: int | None
        self._stdin, self.stdout, self.stderr = pipes.ours
        pipes.handed_over()
        for descriptor in pipes.ours:
            os.set_blocking(descriptor, False)
        self._lines = {self.stdout: Lines(LINE_BYTES), self.stderr: Lines(LINE_BYTES)}
        self._outgoing = bytearray()
        self.death: int | None = None
        # Elsewhere than on Linux the end of its output reports the death.
        with contextlib.suppress(AttributeError, OSError):
            self.death = os.pidfd_open(self.pid)

    @classmethod
    def start(cls, command: Sequence[str], folder: Path, extra: Mapping[str, str]) -> Process:
        """Start a program. Errors: OSError."""
        pipes = Pipes()
        source, sink, complaints = pipes.theirs
        try:
            made = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                list(command),
                stdin=source,
                stdout=sink,
                stderr=complaints,
                cwd=folder,
                env=environment(extra),
                start_new_session=True,
            )
        except OSError:
            pipes.close()
            raise
        return cls(made.pid, pipes, made.wait)

    @property
    def stdin(self) -> int | None:
        """The pipe to its input, if something waits to be written there."""
        return self._stdin if self._outgoing else None

    def write(self, data: bytes) -> None:
        """Hand over bytes; what the pipe does not take now waits."""
        self._outgoing += data
        self.flush()

    def flush(self) -> None:
        """Write what waits, as far as the pipe takes it."""
        while self._outgoing and self._stdin is not None:
            try:
                count = os.write(self._stdin, self._outgoing[:_READ_BYTES])
            except BlockingIOError:
                return
            except OSError:
                # It is dying; its death is noticed by other means.
                self._outgoing.clear()
                return
            del self._outgoing[:count]

    def read(self, descriptor: int) -> tuple[list[bytes], bool]:
        """Return complete lines of one of its pipes, and whether that pipe has ended."""
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return [], False
        return self._lines[descriptor].feed(data), not data

    def drain(self, descriptor: int) -> list[bytes]:
        """Return all complete lines that are left after its death."""
        lines: list[bytes] = []
        while True:
            try:
                data = os.read(descriptor, _READ_BYTES)
            except (BlockingIOError, OSError):
                return lines
            if not data:
                return lines
            lines += self._lines[descriptor].feed(data)

    def end(self) -> None:
        """Close its input: it ends at once."""
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
        self._outgoing.clear()

    def kill(self) -> None:
        """Kill it and everything that it started."""
        # Until it is waited for no other process can have its number.
        if self._code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Wait for the dead process, end what it left running, free all; return how it died."""
        self.kill()
        self._code = self._wait()
        self.end()
        os.close(self.stdout)
        os.close(self.stderr)
        if self.death is not None:
            os.close(self.death)
            self.death = None
        return self._code

    def memory(self) -> int:
        """Return the bytes that it holds in memory now; 0 where the system does not report."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used; 0 where the system does not report."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            return 0.0
