"""A step that adds up over the rows of clients: what all such components do and state alike.

Each client checks its table and sums over its own rows what the aggregator asks for; the aggregator
adds up, and sends all clients the result.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from atoll.components.alignment import refuse_more_rows
from atoll.components.api import ByParty, Component, Facts, Result, Task, Terms
from atoll.components.clients import (
    PUBLIC_CODES,
    EnoughRows,
    check_clients,
    chosen,
    sum_warnings,
    width_of,
)
from atoll.components.horizontal_shown import cut_panels
from atoll.core.exposure import EVERYONE, OPENED_SUMS, Exposure
from atoll.core.names import Role
from atoll.core.report import Panel, TablePanel
from atoll.jobs.participation import ONE, SOME, star
from atoll.jobs.schema import Port
from atoll.learning.features.statistics import ColumnName
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.features.api import PartyStep
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties import step_aggregator
from atoll.learning.horizontal.parties.step_aggregator import Stepped
from atoll.learning.horizontal.parties.step_client import StepClient
from atoll.learning.horizontal.parties.step_work import StepWork, Summed, bytes_of, reveals

if TYPE_CHECKING:
    from atoll.table import Table

# Columns that a report lists.
SHOWN = 200
# With fewer rows in what is summed over, a plan warns.
FEW = 20
ColumnNames = Annotated[
    tuple[ColumnName, ...] | None,
    Field(max_length=1 << 16, description="the columns; empty: all features"),
]
TABLE = {"table": Port("table", everywhere=True, roles=frozenset({Role.CLIENT}))}
_CODE = (
    "atoll.components.over_clients",
    "atoll.learning.horizontal",
    "atoll.operators.secure_sum",
    "atoll.crypto",
)


class SummedRows(Summed, EnoughRows):
    """How clients' sums over their rows are added up, and which clients and columns they are of."""

    @property
    @abstractmethod
    def step(self) -> PartyStep:
        """What is summed."""

    @property
    def wanted(self) -> tuple[str, ...] | None:
        """The columns that are summed; None: all features."""
        return None

    def results(self, columns: int) -> int:
        """Return how many values the result has at most, where a message has fewer."""
        return 0

    def work(self, columns: int, clients: Sequence[str], rows: Mapping[str, int]) -> StepWork:
        """Return these clients' work; ``rows`` are by seat, the plan's. Errors: ATL-HOR-160."""
        return StepWork.of(self.step, columns, self, clients, rows, self.results(columns))


class Own(NamedTuple):
    """A client's own table, and which of its columns are summed."""

    task: Task
    parameters: SummedRows
    table: Table
    names: tuple[str, ...]

    def rows(self) -> ClientRows:
        """Return the columns as rows, without targets."""
        return ClientRows(self.table.matrix(self.names), np.empty(self.table.num_rows))

    def take_part(self, data: ClientRows) -> tuple[Vectors, list[Panel]]:
        """Sum with the others; return the result, and panels for this client's report.

        Errors: those of ``StepClient.run``.
        """
        party = self.task.party
        work = self.parameters.work(len(self.names), party.clients, party.rows)
        client = StepClient(party, work, data)
        return client.run(), cut_panels(client.cut)


def own_rows(task: Task, parameters: SummedRows, *ports: str) -> Own:
    """Check a client's own tables; the first port's is summed. Errors: ATL-HOR-161, ATL-HOR-162,
    ATL-REV-002, ATL-TAB-002.
    """
    table: Table = task.inputs[ports[0]]
    names = chosen(parameters.wanted, table.columns)
    parameters.require(*(task.inputs.get(port) for port in ports), columns=names)
    refuse_more_rows(task.party, table.num_rows, [task.party.name])
    return Own(task, parameters, table, names)


def aggregated(
    task: Task,
    parameters: SummedRows,
    result: Callable[[State, tuple[str, ...]], Vectors],
    watch: Callable[[State], None] = lambda state: None,
) -> tuple[Stepped, tuple[str, ...]]:
    """Add up at the aggregator; return the last state, and what stands for the columns' names.

    It needs no names, and has no table that states them. Errors: those of ``step_aggregator``,
    ATL-HOR-161.
    """
    party, wanted = task.party, parameters.wanted
    count = width_of(party) if wanted is None else len({*wanted})
    names = tuple(f"column {at + 1}" for at in range(count))
    work = parameters.work(count, party.clients, party.rows)
    return step_aggregator.run(party, work, lambda state: result(state, names), watch), names


def left_panels(left: Mapping[str, int]) -> tuple[Panel, ...]:
    """Return which clients left before which round, for the aggregator's report."""
    if not left:
        return ()
    gone = tuple(sorted(left.items()))
    return (TablePanel(title="Clients that left", columns=("client", "round"), rows=gone),)


def planned(facts: Facts, parameters: SummedRows, first: str, *more: str) -> tuple[str, ...] | None:
    """Return the columns that are summed, as far as the plan knows them.

    Errors: ATL-HOR-084, ATL-HOR-085, ATL-HOR-161, ATL-HOR-162, ATL-TAB-002.
    """
    known = check_clients(facts, parameters.minimum_clients, first, *more)
    parameters.refuse_planned(facts, first, *more)
    return None if known is None else chosen(parameters.wanted, known)


def terms(
    facts: Facts,
    parameters: SummedRows,
    columns: Sequence[str] | None,
    name: str,
    what: str,
    outputs: Mapping[str, ByParty],
    *,
    minimums: Mapping[str, int] | None = None,
    warnings: Iterable[str] = (),
) -> Terms:
    """Return what a plan states where ``what`` of these columns is summed. Errors: ATL-HOR-160."""
    clients, masked = facts.having(Role.CLIENT), parameters.sum == "masked"
    least, work = parameters.minimum_clients, parameters.work(len(columns or ()) or 1, clients, {})
    found = sum_warnings(facts, least, what, work.step.most_rounds, masked=masked)
    return Terms(
        implementation=f"horizontal.{name}.{parameters.sum}",
        trust_model="federated",
        reveals=reveals(masked, len(clients)),
        minimums={"clients": least, "rows": parameters.minimum_rows, **(minimums or {})},
        estimated_bytes=bytes_of(work, len(clients)),
        outputs=outputs,
        warnings=(*found, *warnings),
        exposure=(Exposure(OPENED_SUMS, work.sizes.total, Role.CLIENT, EVERYONE),),
    )


def over_clients(
    name: str,
    parameters: type[BaseModel],
    run: Callable[[Task, Any], Result],
    describe: Callable[[Facts, Any], Terms],
    *,
    sources: tuple[str, ...] = (),
    inputs: Mapping[str, Port] = TABLE,
    **more: Any,
) -> Component:
    """Return a component of clients and the aggregator between them; ``more`` are its fields."""
    return Component(
        name=name,
        version="1",
        parameters=parameters,
        run=run,
        describe=describe,
        roles={Role.CLIENT: SOME, Role.AGGREGATOR: ONE},
        edges=star(Role.AGGREGATOR),
        quorum=lambda chosen: {Role.CLIENT: chosen.minimum_clients},
        sources=(*_CODE, *sources),
        inputs=inputs,
        public_codes=PUBLIC_CODES,
        **more,
    )
