"""Describes the columns of many owners' rows together, by sums over clients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from atoll.components.api import ArtifactFacts, Facts, Result, Task, Terms
from atoll.components.over_clients import (
    SHOWN,
    ColumnNames,
    SummedRows,
    aggregated,
    left_panels,
    over_clients,
    own_rows,
    planned,
    terms,
)
from atoll.components.step_cheats import STATISTICS_CHEATS
from atoll.core.names import Role
from atoll.core.report import Panel, Report, TablePanel
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.features.api import received
from atoll.learning.horizontal.features.summary import Summary

WHAT = "counts of values in cells and sums of their powers by column"
FIGURES = ("count", "missing", "mean", "std", "at least", "at most", "skewness", "kurtosis")
Share = Annotated[float, Field(ge=0, le=1)]


class HorizontalStatisticsParameters(SummedRows):
    """Which columns are described, and how finely."""

    columns: ColumnNames = None
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
    def wanted(self) -> tuple[str, ...] | None:
        """See ``SummedRows.wanted``."""
        return self.columns

    @property
    def step(self) -> Summary:
        """See ``SummedRows.step``."""
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

    def results(self, columns: int) -> int:
        """See ``SummedRows.results``: a value of each figure, and whether it is known."""
        return 2 * len(self.names) * columns


def run(task: Task, parameters: HorizontalStatisticsParameters) -> Result:
    """Describe all clients' rows together; every party gets the figures.

    Errors: those of ``over_clients``.
    """
    if task.party.role == Role.AGGREGATOR:
        return _aggregate(task, parameters)
    own = own_rows(task, parameters, "table")
    sent, cut = own.take_part(own.rows())
    lines = from_vectors(sent, parameters.names, len(own.names))
    value = {
        "version": 1,
        "columns": [{"name": name, **line} for name, line in zip(own.names, lines, strict=True)],
    }
    text = json.dumps(value, indent=2, allow_nan=False)
    files = {"statistics.json": f"{text}\n".encode()}
    return Result({"statistics": value}, files, report(own.names, lines, cut))


def _aggregate(task: Task, parameters: HorizontalStatisticsParameters) -> Result:
    done, names = aggregated(task, parameters, lambda state, _: to_vectors(parameters, state))
    lines = from_vectors(to_vectors(parameters, done.state), parameters.names, len(names))
    return Result(report=report(names, lines, left_panels(done.left)))


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


def report(names: Sequence[str], lines: Sequence[dict[str, Any]], more: Sequence[Panel]) -> Report:
    """Return a report of all clients' rows, a line a column, and what else there is."""
    rows = zip(names[:SHOWN], lines[:SHOWN], strict=True)
    columns = ("column", *(lines[0] if lines else FIGURES))
    shown = tuple((name, *line.values()) for name, line in rows)
    pooled = TablePanel(title="All clients' rows", columns=columns, rows=shown)
    return Report(title="Horizontal statistics", panels=(pooled, *more))


def describe(facts: Facts, parameters: HorizontalStatisticsParameters) -> Terms:
    """Return what describing reveals: sums by column.

    Errors: those of ``over_clients.planned`` and ``over_clients.terms``.
    """
    columns = planned(facts, parameters, "table")
    made = {client: ArtifactFacts("statistics") for client in facts.having(Role.CLIENT)}
    return terms(facts, parameters, columns, "summary", WHAT, {"statistics": made})


HORIZONTAL_STATISTICS = over_clients(
    "horizontal_statistics",
    HorizontalStatisticsParameters,
    run,
    describe,
    outputs={"statistics": "statistics"},
    dishonest=STATISTICS_CHEATS,
)
