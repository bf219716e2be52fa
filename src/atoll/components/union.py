"""Puts each party's tables with the same columns one below the other; nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from atoll.components.api import (
    ArtifactFacts,
    Classes,
    Component,
    Facts,
    OwnFacts,
    Result,
    TableDeclaration,
    Task,
    Terms,
    numbered,
)
from atoll.components.predict import Drop
from atoll.core.errors import DataError
from atoll.core.report import KeyValuePanel, Report
from atoll.jobs.participation import EVERYBODY, NO_EDGES
from atoll.jobs.schema import Port
from atoll.learning.features.union import (
    UnionParameters,
    Unity,
    check_columns,
    shared,
    unite,
)

if TYPE_CHECKING:
    from atoll.table import Table


def run(task: Task, parameters: UnionParameters) -> Result:
    """Unite this party's tables; aligned ones give an aligned one where no row may be left out.

    Errors: ATL-CMP-030 to 032.
    """
    given = task.several("tables")
    tables: list[Table] = [table for table in given if table is not None]
    if len(tables) < len(given):
        raise _only_some()
    made = unite(tables, parameters.duplicates)
    if parameters.duplicates == "error" or len(tables) == 1:
        # No row is left out: all parties that get here have the same rows in the same order.
        return Result({"table": task.agreed(made.table, "table", *tables)}, report=_report(made))
    # Own ids decide what is kept, and whatever compared that would show something of them.
    return Result({"table": made.table.with_alignment(None)}, report=_report(made))


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
    """Nothing leaves a party.

    Errors: ATL-CMP-030 other columns, ATL-CMP-031 tables that share rows for certain, ATL-CMP-032
    some tables only.
    """
    made = {}
    for party in sorted(facts.roles):
        inputs = (facts.inputs[port] for port in numbered(facts.inputs))
        tables = [held[party] for held in inputs if party in held]
        if tables and len(tables) < len(facts.inputs):
            raise _only_some(party)
        if tables:
            _check_columns(party, tables)
            if parameters.duplicates == "error":
                _check_shared(party, tables)
            made[party] = _united(tables, parameters.duplicates == "error")
    return Terms(outputs={"table": made})


def _check_columns(party: str, tables: Sequence[ArtifactFacts]) -> None:
    first = tables[0]
    for number, table in enumerate(tables):
        if first.columns is not None and table.columns is not None:
            labels = (first.label, table.label)
            check_columns(first.columns, table.columns, labels, number, party)


def _check_shared(party: str, tables: Sequence[ArtifactFacts]) -> None:
    for number, table in enumerate(tables):
        for earlier in tables[:number]:
            if earlier.lineage and table.lineage and earlier.lineage.overlaps(table.lineage):
                raise shared(f"tables.{number}", party)


def _distinct(tables: Sequence[ArtifactFacts]) -> list[ArtifactFacts]:
    """Leave out tables that add no row, as all of theirs are in another one."""
    kept = list(tables)
    for at in reversed(range(len(kept))):
        own, others = kept[at].lineage, [*kept[:at], *kept[at + 1 :]]
        if own and any(other.lineage and own.among(other.lineage) for other in others):
            kept = others
    return kept


def _united(given: Sequence[ArtifactFacts], whole: bool) -> ArtifactFacts:
    tables = _distinct(given)
    known = all(table.rows for table in tables)
    return ArtifactFacts(
        "table",
        rows=sum(table.rows for table in tables) if known else 0,
        columns=given[0].columns,
        label=given[0].label,
        aligned=all(table.aligned for table in given) and (whole or len(given) == 1),
        sources=tuple(dict.fromkeys(source for table in given for source in table.sources)),
        classes=_classes(tables),
    )


def _classes(tables: Sequence[ArtifactFacts]) -> Classes | None:
    found: dict[float, int] = {}
    for table in tables:
        if table.classes is None:
            return None
        for value, count in table.classes:
            found[value] = found.get(value, 0) + count
    return tuple(sorted(found.items()))


def check(own: OwnFacts, parameters: UnionParameters) -> None:
    """Refuse whole tables of this party that share ids. Errors: ATL-CMP-031."""
    if parameters.duplicates != "error":
        return
    ports = [port for port in numbered(own.inputs) if _is_whole(own.inputs[port])]
    for at, port in enumerate(ports):
        for earlier in ports[:at]:
            if any(_share(one, two) for one in own.tables[earlier] for two in own.tables[port]):
                raise shared(port, own.party)


def _is_whole(table: ArtifactFacts) -> bool:
    return table.lineage is not None and table.lineage.whole


def _share(one: TableDeclaration, two: TableDeclaration) -> bool:
    return bool(one.open and two.open and one.open().shares_ids(two.open()))


UNION = Component(
    name="union",
    version="2",
    parameters=UnionParameters,
    run=run,
    roles=EVERYBODY,
    edges=NO_EDGES,
    describe=describe,
    check=check,
    sources=("atoll.learning.features.union",),
    inputs={"tables": Port("table", many=True)},
    outputs={"table": "table"},
    rows={"table": ("tables", "all")},
    # Else which of two rows is left follows from the other.
    by_row=lambda parameters: parameters.duplicates == "error",
    predict=Drop(),
)
