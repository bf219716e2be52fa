"""Two parties on this machine, as real worker processes joined by mTLS on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from atoll.channel.identity import export_ca, init_party, trust
from atoll.jobs.definition import Job, parse_job
from atoll.table import Table, write_csv
from tests.e2e.crew import Crew, Event, crew

BANK, SHOP = "bank", "shop"
OTHER = {BANK: SHOP, SHOP: BANK}
# Long enough for a busy machine to beat its heart, short enough for a test.
QUICK = {"ATOLL_SILENCE_SECONDS": "3", "ATOLL_HEARTBEAT_SECONDS": "0.5"}
ROWS = 120


def job(**boosting: Any) -> Job:
    return parse_job(
        {
            "name": "small",
            "parties": {BANK: "guest", SHOP: "host"},
            "steps": {
                "reader": {
                    "component": "reader",
                    "parameters": {"tables": {BANK: "people", SHOP: "people"}},
                },
                "psi": {"component": "psi", "inputs": {"table": "reader.table"}},
                "boosting": {
                    "component": "boosting",
                    "inputs": {"train": "psi.table"},
                    "parameters": {"trees": 2, "depth": 2, "implementation": "ideal", **boosting},
                },
                "prediction": {
                    "component": "prediction",
                    "inputs": {"model": "boosting.model", "table": "psi.table"},
                },
                "evaluation": {
                    "component": "evaluation",
                    "inputs": {"scores": "prediction.scores"},
                },
            },
        }
    )


def table(*, label: bool) -> Table:
    shift = 0 if label else 20
    names = pa.array([f"p{at + shift}" for at in range(ROWS)])
    columns = {
        f"x{c}": pa.array([float((at * (c + 3)) % 17) for at in range(ROWS)]) for c in (0, 1)
    }
    if label:
        columns["y"] = pa.array([float((at * 3) % 17 > 8) for at in range(ROWS)])
    return Table.from_columns(names, columns, label="y" if label else None)


def found(folder: Path) -> Path:
    """Make both parties' folders below ``folder``."""
    for party in (BANK, SHOP):
        init_party(folder / party, party)
        (folder / party / "data").mkdir()
        write_csv(table(label=party == BANK), folder / party / "data" / "people.csv")
    trust(folder / BANK, SHOP, export_ca(folder / SHOP))
    trust(folder / SHOP, BANK, export_ca(folder / BANK))
    (folder / "tmp").mkdir()
    return folder


@dataclass
class Stage:
    """A crew on a site, and every event that it gave."""

    folder: Path
    crew: Crew
    events: list[tuple[str, Event]] = field(default_factory=list)
    address: str = ""

    def heard(self, party: str, event: Event) -> None:
        self.events.append((party, event))

    def start(
        self, made: Job | Mapping[str, Job], settings: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        """Start the shop, which listens, and the bank, which dials it."""
        jobs = {BANK: made, SHOP: made} if isinstance(made, Job) else made
        for party in (SHOP, BANK):
            mine = {**QUICK, "TMPDIR": str(self.folder / "tmp"), **(settings or {}).get(party, {})}
            self.crew.start(party, self._specify(party, jobs[party]), mine)
        self.address = self.crew.address(SHOP, self.heard)
        self.crew.tell(BANK, {SHOP: self.address})

    def _specify(self, party: str, made: Job) -> Path:
        path = self.folder / party / "worker.json"
        text = {
            "folder": str(self.folder / party),
            "job": made.model_dump(mode="json"),
            "listen": "127.0.0.1:0" if party == SHOP else None,
            "ask_peers": party == BANK,
            "attached": True,
        }
        path.write_text(json.dumps(text))
        return path

    def code(self, party: str) -> int:
        """Return a worker's exit code, waiting for it."""
        return self.crew.workers[party].process.wait(60)

    def failure(self, party: str) -> dict[str, Any]:
        """Return the error that a worker told of."""
        return self.crew.workers[party].failure or {}

    def nothing_stays(self) -> None:
        """Check that no process, port or temporary file is left."""
        for worker in self.crew.workers.values():
            assert worker.process.poll() is not None
        assert not listening(self.address)
        assert not list((self.folder / "tmp").iterdir())
        for party in (BANK, SHOP):
            assert not list((self.folder / party).rglob(".*"))
            assert not list((self.folder / party).rglob("*.new"))


def listening(address: str) -> bool:
    """Say whether anyone listens at this IPv4 address, from the kernel's own table."""
    port = f"{int(address.rpartition(':')[2]):04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        if local.endswith(f":{port}") and state == "0A":
            return True
    return False


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    with crew() as made:
        yield Stage(found(folder), made)
