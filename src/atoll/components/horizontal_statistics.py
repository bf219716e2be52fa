"""Describes the columns of many owners' rows together, by sums over clients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from atoll.components.alignment import refuse_more_rows
from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.components.clients import (
    PUBLIC_CODES,
    EnoughRows,
    check_clients,
    chosen,
    sum_warnings,
    width_of,
)
from atoll.components.horizontal_shown import cut_panels
from atoll.components.step_cheats import STATISTICS_CHEATS
from atoll.core.exposure import EVERYONE, OPENED_SUMS, Exposure
from atoll.core.names import Role
from atoll.core.report import Panel, Report, TablePanel
from atoll.jobs.participation import ONE, SOME, star
from atoll.jobs.schema import Port
from atoll.learning.features.statistics import ColumnName
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.features.api import received
from atoll.learning.horizontal.features.summary import Summary
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties import step_aggregator
from atoll.learning.horizontal.parties.step_client import StepClient
from atoll.learning.horizontal.parties.step_work import StepWork, Summed, bytes_of, reveals

if TYPE_CHECKING:
    from atoll.table import Table

SHOWN = 200
WHAT = "counts of values in cells and sums of their powers by column"
FIGURES = ("count", "missing", "mean", "std", "at least", "at most", "skewness", "kurtosis")
Share = Annotated[float, Field(ge=0, le=1)]


class HorizontalStatisticsParameters(Summed, EnoughRows):
    """Which columns are described, and how finely."""

    columns: tuple[ColumnName, ...] | None = Field(
        default=None, max_length=1 << 16, description="the columns; empty: all features"
    )
    quantiles: tuple[Share, ...] = Field(
        default=(0.05, 0.25, 0.5, 0.75, 0.95),
        max_length=64,
        description="the quantiles, as shares of the rows",
    )
    cells: int = Field(default=256, ge=16, le=1 << 16, description="cells of each round and column")
    range_rounds: int = Field(
        default=3, ge=1, le=16, description="rounds at most that find the range of the values"
    )
    quantile_rounds: int = Field(
        default=5, ge=1, le=64, description="rounds at most that find the quantiles"
    )

    @field_validator("quantiles")
    @classmethod
    def _each_once(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a quantile is named twice")
        return value

    @property
    def step(self) -> Summary:
        """What is summed."""
        return Summary(
            cells=self.cells, range_rounds=self.range_rounds, rounds=self.quantile_rounds
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What is stated of each column; a quantile beside how far off it may be."""
        shares = (f"{share}" for share in self.quantiles)
        return (
            *FIGURES,
            *(f"{what} {share}" for share in shares for what in ("quantile", "error")),
        )


def run(task: Task, parameters: HorizontalStatisticsParameters) -> Result:
    """Describe all clients' rows together; every party gets the figures.

    Errors: those of ``parties``; ATL-TAB-002.
    """
    party = task.party
    if party.role == Role.AGGREGATOR:
        return _aggregate(task, parameters)
    table: Table = task.inputs["table"]
    refuse_more_rows(party, table.num_rows, [party.name])
    names = chosen(parameters.columns, table.columns)
    parameters.require(table, columns=names)
    work = _work(parameters, len(names), task)
    data = ClientRows(table.matrix(names), np.empty(table.num_rows))
    client = StepClient(party, work, data)
    lines = from_vectors(client.run(), parameters.names, len(names))
    value = {
        "version": 1,
        "columns": [{"name": name, **line} for name, line in zip(names, lines, strict=True)],
    }
    text = json.dumps(value, indent=2, allow_nan=False)
    files = {"statistics.json": f"{text}\n".encode()}
    shown = report(names, lines, {})
    shown = shown.model_copy(update={"panels": (*shown.panels, *cut_panels(client.cut))})
    return Result({"statistics": value}, files, shown)


def _work(parameters: HorizontalStatisticsParameters, columns: int, task: Task) -> StepWork:
    party = task.party
    work = StepWork.of(parameters.step, columns, parameters, party.clients, party.rows)
    return replace(work, result=2 * len(parameters.names) * columns)


def _aggregate(task: Task, parameters: HorizontalStatisticsParameters) -> Result:
    party = task.party
    width = width_of(party)
    count = width if parameters.columns is None else len({*parameters.columns})

    def result(state: State) -> Vectors:
        return to_vectors(parameters, state)

    done = step_aggregator.run(party, _work(parameters, count, task), result)
    lines = from_vectors(result(done.state), parameters.names, count)
    # The aggregator has no table that states the columns' names.
    names = tuple(f"column {at + 1}" for at in range(count))
    return Result(report=report(names, lines, done.left))


def to_vectors(parameters: HorizontalStatisticsParameters, state: State) -> Vectors:
    """Return float64[figures · columns] and of each whether it is known: 1, else 0."""
    described, cells = parameters.step.result(state)
    found = [
        described.count,
        described.missing,
        described.mean,
        described.spread(),
        described.low,
        described.high,
        described.skewness,
        described.kurtosis,
    ]
    if parameters.quantiles:
        values, widths = cells.quantile(np.array(parameters.quantiles))
        for at in range(len(parameters.quantiles)):
            found += [values[:, at], widths[:, at] / 2]
    lines = np.array(found, dtype=np.float64)
    known = np.isfinite(lines)
    return {"figures": np.where(known, lines, 0.0).ravel(), "known": known.ravel().astype(float)}


def from_vectors(sent: Vectors, names: Sequence[str], columns: int) -> list[dict[str, Any]]:
    """Return the figures of each column by name, None for unknown. Errors: ATL-HOR-100."""
    size = len(names) * columns
    figures = received(sent, "figures", size).reshape(len(names), columns)
    known = received(sent, "known", size).reshape(len(names), columns) > 0
    return [
        {
            name: (int(value) if name in {"count", "missing"} else value) if some else None
            for name, value, some in zip(
                names, figures[:, at].tolist(), known[:, at].tolist(), strict=True
            )
        }
        for at in range(columns)
    ]


def report(names: Sequence[str], lines: Sequence[dict[str, Any]], left: dict[str, int]) -> Report:
    """Return a report of all clients' rows, a line a column, and who left."""
    rows = zip(names[:SHOWN], lines[:SHOWN], strict=True)
    columns = ("column", *(lines[0] if lines else FIGURES))
    shown = tuple((name, *line.values()) for name, line in rows)
    panels: list[Panel] = [TablePanel(title="All clients' rows", columns=columns, rows=shown)]
    if left:
        gone = tuple(sorted(left.items()))
        panels.append(TablePanel(title="Clients that left", columns=("client", "round"), rows=gone))
    return Report(title="Horizontal statistics", panels=tuple(panels))


def describe(facts: Facts, parameters: HorizontalStatisticsParameters) -> Terms:
    """Return what describing reveals: sums by column.

    Errors: ATL-HOR-084, ATL-HOR-085, ATL-HOR-160 to ATL-HOR-162, ATL-TAB-002.
    """
    known = check_clients(facts, parameters.minimum_clients, "table")
    parameters.refuse_planned(facts, "table")
    width = 1 if known is None else len(chosen(parameters.columns, known))
    clients, masked = facts.having(Role.CLIENT), parameters.sum == "masked"
    work = StepWork.of(parameters.step, width, parameters, clients, {})
    warnings = sum_warnings(
        facts, parameters.minimum_clients, WHAT, parameters.step.most_rounds, masked=masked
    )
    return Terms(
        implementation=f"horizontal.summary.{parameters.sum}",
        trust_model="federated",
        reveals=reveals(masked, len(clients)),
        minimums={"clients": parameters.minimum_clients, "rows": parameters.minimum_rows},
        estimated_bytes=bytes_of(work, len(clients)),
        outputs={"statistics": {client: ArtifactFacts("statistics") for client in clients}},
        warnings=tuple(warnings),
        exposure=(Exposure(OPENED_SUMS, work.sizes.total, Role.CLIENT, EVERYONE),),
    )


HORIZONTAL_STATISTICS = Component(
    name="horizontal_statistics",
    version="1",
    parameters=HorizontalStatisticsParameters,
    run=run,
    describe=describe,
    roles={Role.CLIENT: SOME, Role.AGGREGATOR: ONE},
    edges=star(Role.AGGREGATOR),
    quorum=lambda parameters: {Role.CLIENT: parameters.minimum_clients},
    sources=("atoll.learning.horizontal", "atoll.operators.secure_sum", "atoll.crypto"),
    inputs={"table": Port("table", everywhere=True, roles=frozenset({Role.CLIENT}))},
    outputs={"statistics": "statistics"},
    dishonest=STATISTICS_CHEATS,
    public_codes=PUBLIC_CODES,
)
