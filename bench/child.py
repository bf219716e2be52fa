"""What the measurements of channels share: the other process and its messages."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atoll.channel.grpc.transport import WireTransport
from atoll.core.errors import AtollError
from atoll.core.names import Scope

SCOPE = Scope("bench", "channel", 0)
WAIT = 120.0
SMALL = 100
PIECE = 1 << 20


@dataclass(frozen=True)
class Usage:
    """What a process has used so far: processor seconds, and its highest resident memory."""

    cpu: float
    peak: int


def usage() -> Usage:
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    peak = int(found[1]) * 1024 if found else used.ru_maxrss * 1024
    return Usage(used.ru_utime + used.ru_stime, peak)


class Child:
    """The other process, which gets its commands as lines."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        # A BLAS thread that has just begun spins for a while; that is not to be measured.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.first = self.line()

    def line(self) -> Any:
        """Read one line of JSON."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def request(self, line: str) -> Any:
        """Send a line and read the answer."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return self.line()

    def usage(self) -> Usage:
        """Ask for its usage so far."""
        return Usage(*self.request(""))

    def end(self) -> None:
        """Wait for its end."""
        self._process.communicate(timeout=WAIT)


class Wire:
    """Shop's side on the channel."""

    def __init__(self, transport: WireTransport, work: str) -> None:
        self._transport = transport
        self._work = work
        rng = np.random.default_rng(1)
        self._pool = rng.integers(0, 256, (8, PIECE), dtype=np.uint8)

    def warm(self) -> None:
        """Connect, and let both sides' buffers grow."""
        for _ in range(50):
            self._turn(b"x" * SMALL)

    def _turn(self, body: bytes) -> None:
        self._transport.send("bank", SCOPE, "there", body, WAIT)
        self._transport.receive("bank", SCOPE, "back", WAIT)

    def work(self, count: int) -> int:
        """Do the work; return how many messages went through."""
        if self._work == "round_trip":
            for _ in range(count):
                self._turn(b"x" * SMALL)
            return count
        sent = 0
        try:
            for number in range(count):
                wait = 1.0 if self._work == "unread" else WAIT
                self._transport.send("bank", SCOPE, "piece", self._pool[number % 8].data, wait)
                sent += 1
        except AtollError as error:
            if error.code != "ATL-NET-002" or self._work != "unread":
                raise
        if self._work == "throughput":
            self._transport.receive("bank", SCOPE, "done", WAIT)
        return sent


def serve(bank: WireTransport, work: str, count: int) -> None:
    """Do the other process's part."""

    def echo(times: int) -> None:
        for _ in range(times):
            body = bank.receive("shop", SCOPE, "there", WAIT)
            bank.send("shop", SCOPE, "back", body, WAIT)

    echo(50)
    report()
    if work == "round_trip":
        echo(count)
    elif work == "throughput":
        for _ in range(count):
            bank.receive("shop", SCOPE, "piece", WAIT)
        bank.send("shop", SCOPE, "done", b"", WAIT)
    report()


def reply(value: Any) -> None:
    """Reply to the measuring process."""
    print(json.dumps(value), flush=True)


def report() -> None:
    """Report the usage so far when asked."""
    sys.stdin.readline()
    reply([usage().cpu, usage().peak])
