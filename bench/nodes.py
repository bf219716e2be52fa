"""Two nodes as real processes, joined by mTLS on loopback, and their use of the system."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from atoll.channel.identity import export_ca, trust
from atoll.cli.node_process import command
from atoll.flow.node import creating, process
from atoll.flow.node.folder import NodeFolder
from atoll.jobs.definition import Job, parse_job
from atoll.sdk import Client

GUEST, HOST = "shop", "bank"
_SECONDS = 60.0


@dataclass
class BenchNode:
    """One node: its folder, and its process while it runs."""

    party: str
    folder: NodeFolder
    port: int
    running: process.Running | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start the process and wait until its API answers."""
        flags = {"http.port": "0", "gateway.listen": f"127.0.0.1:{self.port}", **self.settings}
        self.running = process.up(self.folder, command(self.folder), flags=flags, seconds=_SECONDS)

    def stop(self) -> None:
        """Stop the process, if it runs."""
        process.down(self.folder, seconds=_SECONDS)
        self.running = None

    @property
    def pid(self) -> int:
        """The process."""
        if self.running is None:
            raise RuntimeError(f"{self.party} does not run")
        return self.running.pid

    def client(self) -> Client:
        """Return a client of the local administrator."""
        if self.running is None:
            raise RuntimeError(f"{self.party} does not run")
        return Client(self.running.url, token=self.running.token)


def memory(pid: int, what: str = "VmRSS") -> int:
    """Return bytes in memory: now, or with ``VmHWM`` the most that there ever were."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the system does not report {what}")


def cpu_seconds(pid: int) -> float:
    """Return the processor time of all threads that live, to the nanosecond."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def family_seconds(pid: int) -> float:
    """Return the processor time of a process and of all its descendants, ended ones included."""
    used: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                used[int(entry.name)] = sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")
                children.setdefault(int(stat[1]), []).append(int(entry.name))
    whole, left = 0.0, [pid]
    while left:
        one = left.pop()
        whole += used.get(one, 0.0)
        left += children.get(one, [])
    return whole


def reset_peak(pid: int) -> None:
    """Have the peak of memory counted from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def load() -> float:
    """Return how many processes wanted a core in the last minute."""
    return round(os.getloadavg()[0], 2)


@contextmanager
def pair(root: Path, settings: Mapping[str, str] | None = None) -> Iterator[dict[str, BenchNode]]:
    """Make two nodes that trust each other and start them; stop them in the end."""
    made = {party: _make(root / party, party) for party in (GUEST, HOST)}
    for one, other in ((GUEST, HOST), (HOST, GUEST)):
        ca = export_ca(made[other].folder.root)
        trust(made[one].folder.root, other, ca, f"127.0.0.1:{made[other].port}")
        made[one].settings.update(settings or {})
    try:
        both(made, BenchNode.start)
        yield made
    finally:
        both(made, BenchNode.stop)


def both(made: Mapping[str, BenchNode], work: Callable[[BenchNode], None]) -> None:
    """Do something with both nodes at once."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, made.values()))


def _make(root: Path, party: str) -> BenchNode:
    creating.create(root, party)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    return BenchNode(party, NodeFolder(root), port)


def _table(seed: int, rows: int, columns: int, *, label: bool) -> bytes:
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, columns)).round(6)
    marks = random.integers(0, 2, rows)
    head = ["id", *(["y"] if label else []), *(f"x{seed}_{at}" for at in range(columns))]
    lines = [",".join(head)]
    for at in range(rows):
        mark = [str(marks[at])] if label else []
        lines.append(",".join([f"u{at:06d}", *mark, *map(str, values[at])]))
    return ("\n".join(lines) + "\n").encode()


def fill(made: Mapping[str, BenchNode], folder: Path, rows: int) -> None:
    """Register a table at each node; the host grants everything to the guest."""
    for seed, (party, columns) in enumerate(((GUEST, 10), (HOST, 20))):
        file = folder / f"{party}.csv"
        file.write_bytes(_table(seed, rows, columns, label=party == GUEST))
        with made[party].client() as client:
            client.data.upload("people", file, id="id", label="y" if party == GUEST else None)
            if party == HOST:
                client.data.grant(
                    "people",
                    partners=[GUEST],
                    automatic=True,
                    columns=["*"],
                    components=["*"],
                    roles=["host"],
                )


def three_steps(name: str) -> Job:
    """Return the job that is measured: reader, psi, statistics."""
    tables = {GUEST: "people", HOST: "people"}
    steps = {
        "read": {"component": "reader", "parameters": {"tables": tables}},
        "match": {"component": "psi", "inputs": {"table": "read.table"}},
        "sum": {"component": "statistics", "inputs": {"table": "match.table"}},
    }
    return parse_job({"name": name, "parties": {GUEST: "guest", HOST: "host"}, "steps": steps})
