"""Brings each party's own table into a job; only its facts are told to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from atoll.components.api import Component, Facts, Result, Tables, Task, Terms
from atoll.core.errors import UserError
from atoll.jobs.definition import PARTIES, Frozen
from atoll.jobs.plan import TableFacts
from atoll.jobs.schema import PARTY_LOCAL
from atoll.table.rule import ID_RULE

if TYPE_CHECKING:
    from atoll.table import Table

Text = Annotated[str, Field(max_length=256)]


class ReaderParameters(Frozen):
    """Which table each party brings."""

    tables: dict[Text, Text] = Field(
        max_length=PARTIES, description="the name of the table at each party"
    )
    id: str = Field(
        default="id",
        max_length=256,
        description="the column with the row ids, at every party",
        json_schema_extra=PARTY_LOCAL,
    )
    label: str = Field(
        default="y",
        max_length=256,
        description="the label's column at the guest; empty: it has none",
    )


def _open(party: str, role_has_label: bool, parameters: ReaderParameters, tables: Tables) -> Table:
    name = parameters.tables.get(party)
    if name is None:
        raise UserError(
            "ATL-JOB-006",
            "the reader names no table of this party",
            party=party,
            place="parameters.tables",
        )
    label = (parameters.label or None) if role_has_label else None
    return tables.open(name, id_column=parameters.id, label=label)


def run(task: Task, parameters: ReaderParameters) -> Result:
    """Read this party's table."""
    party = task.party
    return Result({"table": _open(party.name, party.name == party.guest, parameters, task.tables)})


def declare(
    party: str, guest: str, parameters: ReaderParameters, tables: Tables
) -> TableFacts | None:
    """Return what the other parties are told of this party's table."""
    table = _open(party, party == guest, parameters, tables)
    return TableFacts(
        name=parameters.tables[party],
        digest=table.digest(),
        rows=table.num_rows,
        columns=table.columns,
        label=table.label_name,
        id_rule=ID_RULE,
    )


def describe(facts: Facts, parameters: Any) -> Terms:
    """Nothing leaves a party here; the facts of its table are told in the agreement."""
    return Terms(owners={"table": tuple(sorted(facts.roles))})


READER = Component(
    name="reader",
    version="1",
    parameters=ReaderParameters,
    run=run,
    declare=declare,
    describe=describe,
    sources=("atoll.table",),
    outputs={"table": "table"},
)
