"""Puts each party's tables with the same columns one below the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atoll.channel.party import Party
from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.core.errors import DataError, PeerError
from atoll.core.message import Message, array
from atoll.core.report import KeyValuePanel, Report
from atoll.core.reveal import Reveal
from atoll.jobs.definition import INPUTS
from atoll.jobs.schema import Port
from atoll.learning.features.union import UnionParameters, Unity, unite

if TYPE_CHECKING:
    from atoll.table import Table

_WHAT = "how many rows each of the sender's tables has, and how many the united one"


@dataclass(frozen=True)
class Counts(Message, kind="union.counts", version=1):
    """The rows of each table and of the united one; zeros from a party without tables."""

    rows: object = array("u8", (None,), INPUTS + 1, reveals=_WHAT)


def run(task: Task, parameters: UnionParameters) -> Result:
    """Unite this party's tables and compare the counts. Errors: ATL-CMP-030 to ATL-CMP-033."""
    given = task.several("tables")
    tables: list[Table] = [table for table in given if table is not None]
    if tables and len(tables) < len(given):
        raise DataError("ATL-CMP-032", "this party has only some of the tables to unite")
    made = unite(tables, parameters.duplicates) if tables else None
    if parameters.check == "counts":
        counts = [0] * (len(given) + 1) if made is None else [*made.rows, made.table.num_rows]
        _compare(task.party, counts)
    return Result() if made is None else Result({"table": made.table}, report=_report(made))


def _compare(party: Party, mine: list[int]) -> None:
    peers = sorted(name for name in party.roles if name != party.name)
    for peer in peers:
        party.channel.send(peer, "counts", Counts(mine))
    for peer in peers:
        theirs = party.channel.receive(peer, "counts", Counts).rows
        said = [int(count) for count in theirs]  # type: ignore[attr-defined]
        if any(mine) and any(said) and said != mine:
            raise PeerError(
                "ATL-CMP-033",
                "the parties' united tables have different numbers of rows",
                party=peer,
                hint="unite tables that were aligned by an intersection, or set check to none",
            )


def _report(made: Unity) -> Report:
    values: dict[str, float | int | str | None] = {
        f"table {number}": rows for number, rows in enumerate(made.rows)
    }
    values |= {"left out": made.left_out, "rows": made.table.num_rows}
    return Report(title="Union", panels=(KeyValuePanel(title="Rows", values=values),))


def describe(facts: Facts, parameters: UnionParameters) -> Terms:
    """Say that counts are compared, where they are."""
    owners = {"table": tuple(sorted(facts.roles))}
    if parameters.check == "none":
        warning = "row counts are not compared: rows stay aligned only if all inputs were"
        return Terms(owners=owners, warnings=(warning,))
    peers = len(facts.roles) - 1
    return Terms(
        implementation="union.counts",
        trust_model="federated",
        reveals=(Reveal("everyone", Counts.kind, "rows", f"{len(facts.inputs)} + 1", _WHAT),),
        estimated_bytes=peers * len(facts.roles) * 64,
        owners=owners,
    )


UNION = Component(
    name="union",
    version="1",
    parameters=UnionParameters,
    run=run,
    describe=describe,
    sources=("atoll.learning.features.union",),
    inputs={"tables": Port("table", many=True)},
    outputs={"table": "table"},
)
