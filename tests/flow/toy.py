"""A component that talks, small tables, and a listener."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.core.message import Message, integer
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.jobs.schema import Port
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
        outputs={"total": facts.everyone("swap.total")},
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
    outputs={"total": "swap.total"},
)


def table(rows: int, *, label: bool, shift: int = 0) -> Table:
    ids = pa.array([str(at + shift) for at in range(rows)])
    columns = {"x0": pa.array([float(at) for at in range(rows)])}
    if label:
        columns["y"] = pa.array([float(at % 2) for at in range(rows)])
    return Table.from_columns(ids, columns, label="y" if label else None)


class Listener:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))
