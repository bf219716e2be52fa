"""Brings each party's own table into a job; only its facts are sent to the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from atoll.components.api import (
    ArtifactFacts,
    Classes,
    Component,
    Facts,
    Result,
    TableDeclaration,
    Tables,
    Task,
    Terms,
)
from atoll.components.predict import Fresh, Repeat
from atoll.core.errors import UserError
from atoll.core.names import LABELLED, Role
from atoll.jobs.definition import PARTIES, Frozen
from atoll.jobs.participation import NO_EDGES, OWNERS
from atoll.jobs.plan import TableFacts
from atoll.jobs.schema import PARTY_LOCAL
from atoll.jobs.validation import near
from atoll.table.rule import ID_RULE

if TYPE_CHECKING:
    from atoll.table import Table
    from atoll.table.labels import LabelFacts

Text = Annotated[str, Field(max_length=256)]


class ReaderParameters(Frozen):
    """Which table each party brings; one that is not named brings none."""

    tables: dict[Text, Text] = Field(
        min_length=1, max_length=PARTIES, description="the name of the table at each party"
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
        description="the label's column at the guest, or at each client; empty: there is none",
    )
    aligned: bool = Field(
        default=False,
        description="state that all tables hold the same rows in the same order already; "
        "only the number of rows is compared",
    )


def _open(party: str, role: Role, parameters: ReaderParameters, tables: Tables) -> Table:
    label = (parameters.label or None) if role in LABELLED else None
    return tables.open(parameters.tables[party], id_column=parameters.id, label=label)


def run(task: Task, parameters: ReaderParameters) -> Result:
    """Read this party's table."""
    party = task.party
    table = _open(party.name, party.role, parameters, task.tables)
    made = task.agreed(table, "table") if parameters.aligned else table.with_alignment(None)
    return Result({"table": made})


def declare(
    party: str, role: Role, parameters: ReaderParameters, tables: Tables
) -> TableDeclaration | None:
    """Return the facts of this party's table that others are sent, and its label's classes."""
    table = _open(party, role, parameters, tables)
    facts = TableFacts(
        name=parameters.tables[party],
        digest=table.digest(),
        rows=table.num_rows,
        columns=table.columns,
        label=table.label_name,
        id_rule=ID_RULE,
    )
    return TableDeclaration(facts, table.label_facts(), lambda: table)


def table_facts(
    facts: Facts, label: str | None, *, aligned: bool = False
) -> dict[str, ArtifactFacts]:
    """Return what each party has of a step that brings tables in; not all roles have the label."""
    made = {}
    for party in sorted(facts.roles):
        known = facts.tables.get(party)
        made[party] = ArtifactFacts(
            "table",
            rows=0 if known is None else known.rows,
            columns=None if known is None else known.columns,
            label=label if party in facts.labelled else None,
            aligned=aligned,
            sources=(facts.step,),
            classes=None if known is None else _classes(facts.labels.get(party), known.rows),
        )
    return made


def _classes(label: LabelFacts | None, rows: int) -> Classes | None:
    if label is None or label.more:
        return None
    return tuple(zip(label.classes, label.sizes or (rows,) * len(label.classes), strict=True))


def describe(facts: Facts, parameters: ReaderParameters) -> Terms:
    """Nothing leaves a party here; the facts of its table are sent in the agreement.

    Rows that are stated to be aligned are joined whether or not an id is in common.
    """
    for party in parameters.tables:
        if party not in facts.roles:
            raise UserError(
                "ATL-JOB-006",
                "the reader names a table of a party that brings none to this job",
                party=party,
                place="parameters.tables",
                hint=near(party, facts.roles),
            )
    outputs = {"table": table_facts(facts, parameters.label or None, aligned=parameters.aligned)}
    if not parameters.aligned:
        return Terms(outputs=outputs)
    rows = {party: known.rows for party, known in facts.tables.items()}
    if len(set(rows.values())) > 1:
        raise UserError(
            "ATL-PLN-010",
            "the tables are declared to hold the same rows, but have different numbers of them: "
            + ", ".join(f"{party} {count}" for party, count in sorted(rows.items())),
            place=f"steps.{facts.step}.parameters.aligned",
            hint="leave aligned out, and let an intersection find the common rows",
        )
    warning = (
        "the tables are taken to hold the same rows in the same order, as the job states; nothing "
        "compares their ids, and rows of different people would be joined if it is wrong"
    )
    return Terms(outputs=outputs, warnings=(warning,), minimums={"intersection": 0})


def fresh(parameters: Mapping[str, Any], tables: Mapping[str, str], label: str | None) -> Fresh:
    """Return the parameters for other tables; that the old ones were aligned reveals nothing about
    them.

    ``label`` is the label's column at the guest, empty if it has none; None: as before.
    """
    made = {**parameters, "tables": dict(tables)}
    stated = bool(made.pop("aligned", False))
    return Fresh(made if label is None else {**made, "label": label}, stated)


READER = Component(
    name="reader",
    version="1",
    parameters=ReaderParameters,
    run=run,
    roles=OWNERS,
    takes_part=lambda party, parameters: party in parameters.tables,
    by_row=lambda parameters: True,
    edges=NO_EDGES,
    declare=declare,
    describe=describe,
    sources=("atoll.table",),
    outputs={"table": "table"},
    predict=Repeat(fresh),
)
