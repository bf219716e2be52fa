"""Describes each party's own columns; nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from atoll.components.api import (
    ArtifactFacts,
    Component,
    Facts,
    OwnFacts,
    Result,
    Task,
    Terms,
)
from atoll.core.errors import UserError
from atoll.core.report import BarPanel, KeyValuePanel, Panel, Report, TablePanel
from atoll.jobs.participation import EVERYBODY, NO_EDGES
from atoll.jobs.schema import Port
from atoll.jobs.validation import near
from atoll.learning.features.statistics import (
    ColumnStatistics,
    StatisticsParameters,
    describe_table,
)

if TYPE_CHECKING:
    from atoll.table import Table

SHOWN = 200
_FIGURES = ("count", "missing", "mean", "std", "minimum", "median", "maximum", "distinct")
_SHAPE = ("skewness", "kurtosis")


def run(task: Task, parameters: StatisticsParameters) -> Result:
    """Describe this party's table."""
    table: Table = task.inputs["table"]
    found = describe_table(table, parameters)
    value = {
        "version": 1,
        "rows": table.num_rows,
        "columns": [{"name": name, **column.to_dict()} for name, column in found.items()],
    }
    text = json.dumps(value, indent=2, allow_nan=False)
    files = {"statistics.json": f"{text}\n".encode()}
    return Result({"statistics": value}, files, report(table.num_rows, found))


def report(rows: int, found: Mapping[str, ColumnStatistics]) -> Report:
    """Return the report: a line for each column, and the columns with missing values."""
    constant = sum(column.constant for column in found.values())
    panels: list[Panel] = [
        KeyValuePanel(
            title="Table",
            values={"rows": rows, "columns": len(found), "constant columns": constant},
        ),
        TablePanel(
            title="Columns",
            help="distinct values are counted up to a limit, marked by +",
            columns=("column", *_FIGURES, *_SHAPE),
            rows=tuple(_line(name, column) for name, column in list(found.items())[:SHOWN]),
        ),
    ]
    shares = sorted(
        ((column.missing / rows, name) for name, column in found.items() if column.missing),
        reverse=True,
    )[:SHOWN]
    if shares:
        panels.append(
            BarPanel(
                title="Missing values",
                labels=tuple(name for _, name in shares),
                values=tuple(share for share, _ in shares),
                value_label="share of rows",
            )
        )
    return Report(title="Statistics", panels=tuple(panels))


def _line(name: str, column: ColumnStatistics) -> tuple[float | int | str | None, ...]:
    figures = column.to_dict()
    if column.distinct_limited:
        figures["distinct"] = f"{column.distinct}+"
    return (name, *(figures[key] for key in (*_FIGURES, *_SHAPE)))


def describe(facts: Facts, parameters: StatisticsParameters) -> Terms:
    """Nothing leaves a party; each keeps the statistics of its own columns."""
    held = facts.inputs["table"]
    return Terms(outputs={"statistics": {party: ArtifactFacts("statistics") for party in held}})


def check(own: OwnFacts, parameters: StatisticsParameters) -> None:
    """Refuse columns that this party's table has not. Errors: ATL-TAB-002, ATL-CMP-021."""
    table = own.inputs.get("table")
    if table is not None and table.columns is not None and parameters.columns is not None:
        known = [*table.columns, *([table.label] if table.label else [])]
        for name in parameters.columns:
            if name not in known:
                raise UserError(
                    "ATL-TAB-002",
                    f"there is no column {name!r} to describe",
                    party=own.party,
                    place=f"steps.{own.step}.parameters.columns",
                    hint=near(name, known),
                )


STATISTICS = Component(
    name="statistics",
    version="1",
    parameters=StatisticsParameters,
    run=run,
    roles=EVERYBODY,
    edges=NO_EDGES,
    describe=describe,
    check=check,
    sources=("atoll.learning.features.statistics",),
    inputs={"table": Port("table")},
    outputs={"statistics": "statistics"},
)
