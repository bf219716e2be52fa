"""What components over the rows of clients check and state alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, Field

from atoll.channel.party import Party
from atoll.components.api import Facts
from atoll.core.errors import DataError, UserError
from atoll.core.names import Role, party_of
from atoll.jobs.validation import near

if TYPE_CHECKING:
    from atoll.table import Table

# What the aggregator and all clients of a step see alike.
PUBLIC_CODES = frozenset(
    {
        "ATL-HOR-054",
        "ATL-HOR-055",
        "ATL-HOR-081",
        "ATL-HOR-082",
        "ATL-HOR-170",
        "ATL-SUM-011",
        "ATL-SUM-012",
        "ATL-SUM-023",
    }
)

# What a sum hides, and what it does not.
ALONE = (
    "a sum hides a client's part among the others' as far as these differ and are not known: where "
    "steps before make the others' rows constant, or two jobs or steps sum nearly the same rows, "
    "that part, down to a row, shows"
)
# With fewer rows at a client, its part of a sum is close to single rows.
LEAST_ROWS = 10
_ODD = np.uint64(0x9E3779B97F4A7C15)


class EnoughRows(BaseModel):
    """How few rows a client may bring into a sum over clients."""

    minimum_rows: int = Field(
        default=LEAST_ROWS,
        ge=1,
        le=1 << 31,
        description="a client with fewer rows than this sends nothing, and leaves the step",
    )

    def refuse_planned(self, facts: Facts, *ports: str) -> None:
        """Refuse tables of which the plan knows that they are too small. Errors: ATL-HOR-162."""
        for port in ports:
            for client, table in facts.inputs.get(port, {}).items():
                if table.columns is not None and 0 < table.rows < self.minimum_rows:
                    raise self._few(UserError, facts.step, party_of(client))

    def require(self, *tables: Table | None, columns: Sequence[str] | None = None) -> None:
        """Refuse own tables that are too small, before anything is sent; ``columns`` are summed.

        So are those with fewer different rows than that, one of which is there once: steps before
        that make all other rows alike would leave it alone in the sum. Errors: ATL-HOR-162.
        """
        for table in tables:
            if table is not None and (
                table.num_rows < self.minimum_rows
                or _stands_out(table, columns or table.columns, self.minimum_rows)
            ):
                raise self._few(DataError, None, None)

    def _few(
        self, kind: type[UserError] | type[DataError], step: str | None, party: str | None
    ) -> UserError | DataError:
        return kind(
            "ATL-HOR-162",
            f"a client brings fewer than {self.minimum_rows} rows, or so few that differ, so what "
            "it adds to a sum is close to single rows",
            party=party,
            place=None if step is None else f"steps.{step}.parameters.minimum_rows",
            hint="bring more rows, or state a smaller minimum_rows, which partners see in the plan",
        )


def _stands_out(table: Table, columns: Sequence[str], least: int) -> bool:
    """Return whether there are fewer than ``least`` different rows, and one of them once."""
    keys = np.zeros(table.num_rows, np.uint64)
    counts = np.zeros(0, np.intp)
    for name in columns:
        # Of one hash of 64 bits a row; 0.0 stands for both zeros.
        keys = (keys ^ (table.matrix([name])[:, 0] + 0.0).view(np.uint64)) * _ODD
        keys ^= keys >> np.uint64(32)
        counts = np.unique(keys, return_counts=True)[1]
        if len(counts) >= least:
            return False
    return bool((counts == 1).any())


def chosen(wanted: Sequence[str] | None, columns: Sequence[str]) -> tuple[str, ...]:
    """Return which of a table's features are meant (None: all).

    Errors: ATL-TAB-002 one that it has not, ATL-HOR-161 none.
    """
    for name in wanted or ():
        if name not in columns:
            raise UserError(
                "ATL-TAB-002",
                f"there is no column {name!r}",
                place="columns",
                hint=near(name, columns),
            )
    found = tuple(name for name in columns if wanted is None or name in wanted)
    if not found:
        raise _no_columns()
    return found


def width_of(party: Party) -> int:
    """Return how many columns the clients' tables have by the plan. Errors: ATL-HOR-161 none."""
    width = party.columns.get(party.clients[0], 0)
    if not width:
        raise _no_columns()
    return width


def _no_columns() -> UserError:
    """Return the refusal of a step over tables without columns."""
    return UserError(
        "ATL-HOR-161",
        "there are no columns to sum",
        place="columns",
        hint="bring tables with features beside id and label",
    )


def check_clients(facts: Facts, minimum: int, first: str, *more: str) -> tuple[str, ...] | None:
    """Return the columns of the tables at these ports, the same at all clients; None: not known.

    Errors: ATL-HOR-084 too few clients, ATL-HOR-085 other columns, ATL-HOR-161 none.
    """
    clients = facts.having(Role.CLIENT)
    if len(clients) < minimum:
        raise UserError(
            "ATL-HOR-084",
            f"{minimum} clients must stay to the end, and the job has {len(clients)}",
            place=f"steps.{facts.step}.parameters.minimum_clients",
            hint="a masked sum needs three; with fewer owners choose sum: plain",
        )
    columns = facts.inputs[first][clients[0]].columns
    for port in (first, *more):
        for client, table in facts.inputs.get(port, {}).items():
            if table.columns is not None and columns is not None and table.columns != columns:
                raise UserError(
                    "ATL-HOR-085",
                    "all clients need the same columns in the same order",
                    party=party_of(client),
                    place=f"steps.{facts.step}.inputs.{port}",
                    hint=f"the first has {', '.join(columns[:20])}",
                )
    if columns is not None and not columns:
        raise _no_columns()
    return columns


def refuse_shaped(facts: Facts, port: str, unit: str) -> None:
    """Refuse what no noise for one ``unit`` (row or client) covers: rows that follow from others.

    A row that moves the scale of all others moves a sum by all of them, whatever each is clipped
    to. Errors: ATL-HOR-140.
    """
    for client, table in sorted(facts.inputs[port].items()):
        found = sorted(step for step, shared in table.shaped.items() if shared or unit == "row")
        if found:
            raise UserError(
                "ATL-HOR-140",
                f"this training cannot have differential privacy of one {unit}: in "
                f"{', '.join(found)} its rows came to depend on others, so one {unit} moves more "
                f"than its own part of a sum",
                party=party_of(client),
                place=f"steps.{facts.step}.inputs.{port}",
                hint="train on tables as they are read; prepare them before, by what does not "
                "follow from their rows",
            )


def sum_warnings(facts: Facts, minimum: int, what: str, rounds: int, *, masked: bool) -> list[str]:
    """Return what a plan warns of where ``what`` is summed over clients in ``rounds`` at most."""
    clients = facts.having(Role.CLIENT)
    if not masked:
        return [
            f"the aggregator sees each client's {what}, which show much of its rows; sum: masked "
            "hides them"
        ]
    found = [
        f"the aggregator sees sums over at least {minimum} clients of {what}, in at most {rounds} "
        "rounds, and none of a single client by itself; sums still depend on rows: nothing here is "
        "differentially private",
        ALONE,
    ]
    if len(clients) > minimum:
        found.append(
            f"{len(clients) - minimum} of {len(clients)} clients may be left out: an aggregator "
            "that lies learns the sums of one that it leaves out, as the difference of two rounds "
            f"that ask for alike; with minimum_clients {len(clients)} it cannot, and a client that "
            "leaves ends the step"
        )
    both = {party_of(client) for client in clients}
    both &= {party_of(seat) for seat in facts.having(Role.AGGREGATOR)}
    if both:
        found.append(
            f"{', '.join(sorted(both))} aggregates and is a client: it knows its own rows, so the "
            "sums that it sees are of one client fewer"
        )
    return found
