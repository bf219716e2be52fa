"""A small job with real parts: two components that talk, keys that sign, folders on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, Field

from atoll.channel.faulty import Fault
from atoll.channel.party import Party
from atoll.components.api import Component, Facts, Result, Tables, Task, Terms
from atoll.components.reader import READER
from atoll.core.errors import PeerError
from atoll.core.message import Message, integer
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.flow.approving import everything
from atoll.flow.runner import Outcome, Run, run
from atoll.flow.tables import HeldTables
from atoll.jobs.approval import PublicKey
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan
from atoll.jobs.schema import Port
from atoll.sim import world
from atoll.table import Table

PARTIES = {"bank": Role.GUEST, "shop": Role.HOST}


@dataclass(frozen=True)
class Amount(Message, kind="toy.amount", version=1):
    """A number for the other party."""

    value: int = integer(0, 1 << 40, reveals="the sender's number of rows")


class Parameters(BaseModel):
    """How often the parties talk."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rounds: int = Field(2, ge=1, le=10)


def _swap(task: Task, parameters: Parameters) -> Result:
    party = task.party
    peer = next(name for name in party.roles if name != party.name)
    total = 0
    for at in range(parameters.rounds):
        party.progress("swap", at, parameters.rounds)
        party.channel.send(peer, "amount", Amount(task.inputs["table"].num_rows))
        total += party.channel.receive(peer, "amount", Amount).value
    return Result({"total": total}, {"total.txt": f"{total}\n".encode()})


def _describe(facts: Facts, parameters: Parameters) -> Terms:
    rows = "the sender's number of rows"
    return Terms(
        implementation="swap",
        trust_model="federated",
        reveals=(Reveal("host", "guest", "toy.amount", "value", f"{parameters.rounds}", rows),),
        estimated_bytes=100,
        outputs={"total": facts.everyone("number")},
        warnings=("mind the gap",),
    )


SWAP = Component(
    "swap",
    "1",
    Parameters,
    _swap,
    _describe,
    sources=("atoll.components",),
    inputs={"table": Port("table")},
    outputs={"total": "number"},
)
CATALOGUE: dict[str, Component] = {"reader": READER, "swap": SWAP}


def job(**parameters: Any) -> Job:
    return parse_job(
        {
            "name": "toy",
            "parties": {name: role.value for name, role in PARTIES.items()},
            "steps": {
                "reader": {
                    "component": "reader",
                    "parameters": {"tables": {"bank": "loans", "shop": "visits"}},
                },
                "swap": {
                    "component": "swap",
                    "inputs": {"table": "reader.table"},
                    "parameters": parameters,
                },
            },
        }
    )


def table(rows: int, *, label: bool, shift: int = 0) -> Table:
    ids = pa.array([str(at + shift) for at in range(rows)])
    columns = {"x0": pa.array([float(at) for at in range(rows)])}
    if label:
        columns["y"] = pa.array([float(at % 2) for at in range(rows)])
    return Table.from_columns(ids, columns, label="y" if label else None)


class Keys:
    """Raw Ed25519 keys; a certificate is the public key itself, known to everyone beforehand."""

    def __init__(self, party: str, known: Mapping[str, ed25519.Ed25519PrivateKey]) -> None:
        self._key = known[party]
        self._known = {name: _raw(key.public_key()) for name, key in known.items()}
        self.certificate = self._known[party]

    def sign(self, document: bytes) -> bytes:
        return self._key.sign(document)

    def public_key(self, party: str, certificate: bytes) -> PublicKey:
        if certificate != self._known[party]:
            raise PeerError("ATL-PLN-002", "not the pinned key", party=party)
        return ed25519.Ed25519PublicKey.from_public_bytes(certificate)


def _raw(key: ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


class Heard:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))


KNOWN = {name: ed25519.Ed25519PrivateKey.generate() for name in PARTIES}
TABLES: dict[str, Tables] = {
    "bank": HeldTables({"loans": table(7, label=True)}),
    "shop": HeldTables({"visits": table(9, label=False, shift=3)}),
}


def wall() -> float:
    return 1_000_000.0


def bring(party: Party, folder: Path, **changes: Any) -> Run:
    """Make the run of one party of a simulated world."""
    whole = Run(
        party=party.name,
        job=job(),
        catalogue=CATALOGUE,
        transport=party.channel.transport,
        credentials=Keys(party.name, KNOWN) if party.name in KNOWN else None,  # type: ignore[arg-type]
        tables=TABLES.get(party.name, HeldTables({})),
        folder=folder / party.name,
        approve=everything,
        limits=party.limits,
        clock=party.clock,
        wall=wall,
        cancel=party.cancel,
    )
    return replace(whole, **changes)


def play(
    folder: Path,
    *,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    faults: Mapping[str, Sequence[Fault]] | None = None,
) -> world.World:
    """Run the job as both parties; ``changes`` alters what a party brings."""

    def live(party: Party) -> Outcome:
        mine = (changes or {}).get(party.name, {})
        return run(bring(party, folder, **mine))

    return world.run(PARTIES, live, faults=faults)


Approve = Callable[[Plan], int]
