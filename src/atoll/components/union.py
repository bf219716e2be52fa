"""Puts each party's tables with the same columns one below the other; nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.core.errors import DataError
from atoll.core.report import KeyValuePanel, Report
from atoll.jobs.schema import Port
from atoll.learning.features.union import UnionParameters, Unity, check_columns, unite

if TYPE_CHECKING:
    from atoll.table import Table


def run(task: Task, parameters: UnionParameters) -> Result:
    """Unite this party's tables; aligned ones give an aligned one. Errors: ATL-CMP-030 to 032."""
    given = task.several("tables")
    tables: list[Table] = [table for table in given if table is not None]
    if not tables:
        return Result()
    if len(tables) < len(given):
        raise _only_some()
    made = unite(tables, parameters.duplicates)
    return Result({"table": task.agreed(made.table, "table", *tables)}, report=_report(made))


def _only_some(party: str | None = None) -> DataError:
    message = "this party has only some of the tables to unite"
    return DataError("ATL-CMP-032", message, party=party)


def _report(made: Unity) -> Report:
    values: dict[str, float | int | str | None] = {
        f"table {number}": rows for number, rows in enumerate(made.rows)
    }
    values |= {"left out": made.left_out, "rows": made.table.num_rows}
    return Report(title="Union", panels=(KeyValuePanel(title="Rows", values=values),))


def describe(facts: Facts, parameters: UnionParameters) -> Terms:
    """Nothing leaves a party. Errors: ATL-CMP-030 other columns, ATL-CMP-032 some tables only."""
    made = {}
    # By number: tables.2 comes before tables.10.
    given = [facts.inputs[port] for port in sorted(facts.inputs, key=lambda p: (len(p), p))]
    for party in sorted(facts.roles):
        tables = [held[party] for held in given if party in held]
        if tables and len(tables) < len(given):
            raise _only_some(party)
        if tables:
            _check_columns(party, tables)
            made[party] = _united(tables)
    return Terms(outputs={"table": made})


def _check_columns(party: str, tables: Sequence[ArtifactFacts]) -> None:
    first = tables[0]
    for number, table in enumerate(tables):
        if first.columns is not None and table.columns is not None:
            labels = (first.label, table.label)
            check_columns(first.columns, table.columns, labels, number, party)


def _united(tables: Sequence[ArtifactFacts]) -> ArtifactFacts:
    known = all(table.rows for table in tables)
    return ArtifactFacts(
        "table",
        rows=sum(table.rows for table in tables) if known else 0,
        columns=tables[0].columns,
        label=tables[0].label,
        aligned=all(table.aligned for table in tables),
        sources=tuple(dict.fromkeys(source for table in tables for source in table.sources)),
    )


UNION = Component(
    name="union",
    version="2",
    parameters=UnionParameters,
    run=run,
    describe=describe,
    sources=("atoll.learning.features.union",),
    inputs={"tables": Port("table", many=True)},
    outputs={"table": "table"},
)
