"""Real nodes for tests: each a folder and a process, joined by mTLS on loopback."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atoll.channel.identity import export_ca, trust
from atoll.cli.node_process import command
from atoll.flow.node import creating, process
from atoll.flow.node.folder import NodeFolder
from atoll.jobs.definition import Job, parse_job
from atoll.sdk import Client
from tests.e2e.ports import free_port

LONG = 60.0
BRISK = {
    "gateway.sync_seconds": "0.5",
    "gateway.silence_seconds": "3",
    "gateway.heartbeat_seconds": "0.3",
    "gateway.connect_seconds": "10",
    "jobs.peer_seconds": "8",
    "node.drain_seconds": "1",
}


@dataclass
class TestNode:
    """One node of a test. ``settings`` are given at each start."""

    __test__ = False
    party: str
    folder: NodeFolder
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    running: process.Running | None = None

    def start(self, **more: str) -> Client:
        """Start the process and return a client of its local administrator."""
        flags = {
            **BRISK,
            "http.port": "0",
            "gateway.listen": f"127.0.0.1:{self.port}",
            **self.settings,
            **more,
        }
        self.running = process.up(self.folder, command(self.folder), flags=flags, seconds=LONG)
        return self.client()

    def client(self) -> Client:
        """Return a client of the local administrator."""
        assert self.running is not None
        return Client(self.running.url, token=self.running.token)

    def kill(self) -> None:
        """Kill the process as a crash would, and wait until it is gone."""
        assert self.running is not None
        os.kill(self.running.pid, signal.SIGKILL)
        until(lambda: self.folder.running() is None)
        self.running = None

    def stop(self) -> None:
        """Stop the process in order, if it runs."""
        process.down(self.folder, seconds=LONG)
        self.running = None

    def workers(self) -> list[int]:
        """Return the process numbers of the workers that this folder's nodes have started."""
        return workers_in(self.folder.run)


def workers_in(folder: Path) -> list[int]:
    """Return the workers that run in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if b"atoll.flow.work" in command and (entry / "cwd").resolve() == folder.resolve():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def until(check: Callable[[], Any], seconds: float = LONG) -> Any:
    """Wait until something is true and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to that in time")
        time.sleep(0.02)


def make(root: Path, *parties: str) -> dict[str, TestNode]:
    """Make nodes that trust each other; none is started."""
    made: dict[str, TestNode] = {}
    for party in parties:
        folder = NodeFolder(root / party)
        creating.create(folder.root, party)
        made[party] = TestNode(party, folder, free_port())
    for one in made.values():
        for other in made.values():
            if one is not other:
                ca = export_ca(other.folder.root)
                trust(one.folder.root, other.party, ca, f"127.0.0.1:{other.port}")
    return made


@contextmanager
def nodes(root: Path, *parties: str) -> Iterator[dict[str, TestNode]]:
    """Make nodes, start them, and stop them in the end."""
    made = make(root, *parties)
    try:
        with ThreadPoolExecutor() as pool:
            for started in [pool.submit(node.start) for node in made.values()]:
                started.result().close()
        yield made
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(TestNode.stop, made.values()))


def table(seed: int, rows: int, columns: int, *, label: bool, first: int = 0) -> bytes:
    """Return a CSV table: ids u0000 …, columns x0 …, and a label that depends on the first."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, columns)).round(3)
    head = ["id", *(["y"] if label else []), *(f"x{first + at}" for at in range(columns))]
    lines = [",".join(head)]
    shared = np.random.default_rng(0).normal(size=rows)
    for at in range(rows):
        mark = [str(int(shared[at] + values[at, 0] > 0))] if label else []
        lines.append(",".join([f"u{at:05d}", *mark, *(str(value) for value in values[at])]))
    return ("\n".join(lines) + "\n").encode()


def fill(made: dict[str, TestNode], tmp: Path, *, rows: int = 400, grants: bool = True) -> None:
    """Register a table ``people`` at each node; the hosts grant everything to the first party."""
    guest = next(iter(made))
    for number, node in enumerate(made.values()):
        file = tmp / f"{node.party}.csv"
        file.write_bytes(table(number, rows, 4, label=node.party == guest, first=10 * number))
        with node.client() as client:
            label = "y" if node.party == guest else None
            client.data.upload("people", file, id="id", label=label)
            if grants and node.party != guest:
                client.data.grant("people", partners=[guest], automatic=True, **EVERYTHING)


EVERYTHING: dict[str, Any] = {"columns": ["*"], "components": ["*"], "roles": ["host"]}


def small_job(*parties: str, name: str = "synthetic", **parameters: Any) -> Job:
    """Return reader, psi, statistics over the tables ``people``."""
    guest, *hosts = parties
    return parse_job(
        {
            "name": name,
            "parties": {guest: "guest", **dict.fromkeys(hosts, "host")},
            "steps": {
                "read": {
                    "component": "reader",
                    "parameters": {"tables": dict.fromkeys(parties, "people")},
                },
                "match": {
                    "component": "psi",
                    "inputs": {"table": "read.table"},
                    "parameters": parameters,
                },
                "sum": {"component": "statistics", "inputs": {"table": "match.table"}},
            },
        }
    )


def training_job(*parties: str, trees: int = 20, name: str = "train") -> Job:
    """Return reader, psi, boosting, prediction and evaluation over the tables ``people``."""
    plain = small_job(*parties, name=name).canonical()
    plain["steps"].pop("sum")
    plain["steps"] |= {
        "boost": {
            "component": "boosting",
            "inputs": {"train": "match.table"},
            "parameters": {"trees": trees, "depth": 3},
        },
        "score": {
            "component": "prediction",
            "inputs": {"model": "boost.model", "table": "match.table"},
        },
        "judge": {"component": "evaluation", "inputs": {"scores": "score.scores"}},
    }
    return parse_job(plain)
