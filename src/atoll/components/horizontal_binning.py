"""Puts the columns of many owners' rows into bins, and weighs these by a label of two classes.

A bin's weight of evidence is the logarithm of its share of the rows of class 1 over its share of
those of class 0: above 0 where class 1 is more frequent than on the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from atoll.components.api import ArtifactFacts, Facts, OwnFacts, Result, Task, Terms
from atoll.components.over_clients import (
    FEW,
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
from atoll.components.predict import Apply
from atoll.components.step_cheats import BINNING_CHEATS
from atoll.components.transform import FITTED, TRANSFORM, changed
from atoll.core.errors import DataError, UserError
from atoll.core.names import Role, party_of
from atoll.core.report import Panel, Report, TablePanel
from atoll.learning.features.binning import MOST_BINS
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.features import BinCounts, Evidence
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.outputs import Bernoulli
from atoll.models.binning import BINNING_TRANSFORM, BinnedColumn, BinPart

# Columns whose bins a report lists.
LISTED = 20
ROWS = "counts of values in cells and in bins by column"
CLASSES = "counts of values in cells, and of rows of each class in bins, by column"


class HorizontalBinningParameters(SummedRows):
    """Which columns are put into which bins, alike at all clients, and what their values become."""

    columns: ColumnNames = None
    method: Literal["quantile", "width"] = Field(
        default="quantile",
        description="bins of equally many rows of all clients together, or of equal width between "
        "their least and greatest value",
    )
    bins: int = Field(default=10, ge=2, le=MOST_BINS, description="bins of a column at most")
    evidence: bool = Field(
        default=True,
        description="counts rows of each class by bin, for weight of evidence and information "
        "value; needs a label of 0 and 1. Without it rows are counted, and no label is read",
    )
    values: Literal["woe", "index"] = Field(
        default="woe",
        description="what a value becomes: its bin's weight of evidence ln(share of class 1 / "
        "share of class 0), also where it is missing, or its bin's number from 0, where missing "
        "ones stay missing",
    )
    smoothing: float = Field(
        default=0.5,
        gt=0,
        le=1e6,
        description="added to each count of a bin that has rows before shares are taken, so that "
        "a bin without one of the classes has a finite weight; a bin without rows has weight 0",
    )
    cells: int = Field(
        default=256, ge=16, le=1 << 16, description="cells of each round that finds bins"
    )
    rounds: int = Field(default=7, ge=1, le=64, description="rounds at most that find bins")

    @model_validator(mode="after")
    def _weighed(self) -> Self:
        if self.values == "woe" and not self.evidence:
            raise ValueError("values of weight of evidence need evidence")
        return self

    @property
    def wanted(self) -> tuple[str, ...] | None:
        """See ``SummedRows.wanted``."""
        return self.columns

    @property
    def step(self) -> BinCounts:
        """See ``SummedRows.step``."""
        return BinCounts(
            method=self.method,
            bins=self.bins,
            cells=self.cells,
            rounds=self.rounds,
            labelled=self.evidence,
        )

    def results(self, columns: int) -> int:
        """See ``SummedRows.results``: thresholds and counts."""
        return columns * (self.bins - 1 + (self.bins + 1) * self.step.classes)


def run(task: Task, parameters: HorizontalBinningParameters) -> Result:
    """Fit bins of all clients' rows together; each client keeps them, and changes its own columns.

    Errors: those of ``over_clients``; ATL-BIN-001 a value is infinite; with ``evidence``
    ATL-TAB-002 no label, ATL-TAB-015 a label is missing, ATL-HOR-020 another than 0 and 1,
    ATL-HOR-117 all rows are of one class.
    """
    if task.party.role == Role.AGGREGATOR:
        return _aggregate(task, parameters)
    own = own_rows(task, parameters, "table")
    data = own.rows()
    if parameters.evidence:
        data = ClientRows(data.rows, Bernoulli().check(own.table.label()))
    sent, cut = own.take_part(data)
    found = both_classes(parameters.step.received(sent, len(own.names)))
    part = to_part(found, party_of(task.party.name), own.names, parameters)
    table = changed(BINNING_TRANSFORM, part, own.table)
    shown = report(found, own.names, parameters, cut)
    return Result({"table": table, FITTED: part}, report=shown)


def both_classes(found: Evidence) -> Evidence:
    """Refuse counts by class that are of one class alone. Errors: ATL-HOR-117."""
    if found.counts.shape[2] == 2 and not found.counts[0].any(axis=0).all():
        raise DataError(
            "ATL-HOR-117",
            "the rows of all clients together are of one class: no bin has evidence for another",
            hint="bring rows of both classes, or leave evidence out",
        )
    return found


def to_part(
    found: Evidence, party: str, names: Sequence[str], parameters: HorizontalBinningParameters
) -> BinPart:
    """Return what a party keeps."""
    weighed = parameters.values == "woe"
    becomes = found.woe(parameters.smoothing) if weighed else np.arange(found.binning.width)
    lines = zip(
        names,
        found.binning.thresholds,
        np.broadcast_to(becomes.astype(np.float64), found.counts.shape[:2]).tolist(),
        strict=True,
    )
    binned = [
        BinnedColumn(
            name=name,
            thresholds=tuple(thresholds.tolist()),
            values=tuple(line[: len(thresholds) + 1]),
            missing=line[-1] if weighed else None,
        )
        for name, thresholds, line in lines
    ]
    return BinPart(party=party, binned=tuple(binned))


def _aggregate(task: Task, parameters: HorizontalBinningParameters) -> Result:
    step = parameters.step

    def result(state: State, names: tuple[str, ...]) -> Vectors:
        return step.result(state).vectors()

    done, names = aggregated(task, parameters, result)
    found = both_classes(step.result(done.state))
    return Result(report=report(found, names, parameters, left_panels(done.left)))


def report(
    found: Evidence,
    names: Sequence[str],
    parameters: HorizontalBinningParameters,
    more: Sequence[Panel],
) -> Report:
    """Return a report: a line a column, the bins of the first ones, and what else there is."""
    weighed, counts = parameters.evidence, found.counts
    lines = zip(names, found.binning.value_bins.tolist(), counts[:, -1].sum(axis=1), strict=True)
    rows: list[tuple[str | int | float, ...]] = [
        (name, bins, int(missing)) for name, bins, missing in lines
    ]
    columns: tuple[str, ...] = ("column", "bins", "missing")
    if weighed:
        values = found.iv(parameters.smoothing).tolist()
        rows = [(*row, value) for row, value in zip(rows, values, strict=True)]
        columns = (*columns, "information value")
    whole = TablePanel(title="Columns", columns=columns, rows=tuple(rows[:SHOWN]))
    each = [_bins(found, at, name, parameters) for at, name in enumerate(names[:LISTED])]
    return Report(title="Horizontal binning", panels=(whole, *each, *more))


def _bins(
    found: Evidence, at: int, name: str, parameters: HorizontalBinningParameters
) -> TablePanel:
    """Return the bins of one column; that of missing values is the last."""
    ends = (None, *found.binning.thresholds[at].tolist(), None)
    filled = [*range(len(ends) - 1), found.binning.missing]
    labels: list[tuple[str | float | None, ...]] = [
        *((str(number), *ends[number : number + 2]) for number in filled[:-1]),
        ("missing", None, None),
    ]
    columns: tuple[str, ...] = ("bin", "at least", "below", "rows")
    figures = [found.counts[at, filled].sum(axis=1).tolist()]
    if parameters.evidence:
        columns = (*columns[:3], "class 0", "class 1", "weight of evidence", "information value")
        figures = found.counts[at, filled].T.tolist()
        for kind in (found.woe, found.parts):
            figures.append(kind(parameters.smoothing)[at, filled].tolist())
    rows = tuple((*label, *line) for label, *line in zip(labels, *figures, strict=True))
    return TablePanel(title=f"Bins of {name}", columns=columns, rows=rows)


def describe(facts: Facts, parameters: HorizontalBinningParameters) -> Terms:
    """Return what fitting reveals: counts by column; rows and columns stay the same.

    Errors: those of ``over_clients.planned`` and ``over_clients.terms``; ATL-PLN-009 no label.
    """
    columns, held = planned(facts, parameters, "table"), facts.inputs["table"]
    for client, table in held.items():
        if parameters.evidence and table.label is None:
            raise _no_label(facts.step, client, "the rows have no label here")
    kind, weighed = BINNING_TRANSFORM.name, parameters.evidence
    return terms(
        facts,
        parameters,
        columns,
        "binning",
        CLASSES if weighed else ROWS,
        {"table": held, FITTED: {c: ArtifactFacts(kind, columns=columns) for c in held}},
        warnings=_warnings(sum(table.rows for table in held.values()), parameters),
    )


def _warnings(rows: int, parameters: HorizontalBinningParameters) -> tuple[str, ...]:
    each = rows // parameters.bins
    if not parameters.evidence or not rows or each >= FEW:
        return ()
    return (
        f"a bin has about {each or 'no'} rows: counts of so few show labels of rows, though not "
        "whose they are; take fewer bins",
    )


def _no_label(step: str, client: str, text: str) -> UserError:
    return UserError(
        "ATL-PLN-009",
        text,
        party=party_of(client),
        place=f"steps.{step}.inputs.table",
        hint="name a label of 0 and 1 in the reader, or set evidence: false and values: index",
    )


def check(own: OwnFacts, parameters: HorizontalBinningParameters) -> None:
    """Refuse own labels other than 0 and 1, as far as they are known. Errors: ATL-PLN-009."""
    classes = own.classes("table") or frozenset()
    if parameters.evidence and not classes <= {0.0, 1.0}:
        raise _no_label(own.step, own.party, "a label is neither 0 nor 1")


HORIZONTAL_BINNING = over_clients(
    "horizontal_binning",
    HorizontalBinningParameters,
    run,
    describe,
    check=check,
    sources=("atoll.learning.features", "atoll.components.transform", "atoll.models.binning"),
    outputs={"table": "table", FITTED: BINNING_TRANSFORM.name},
    rows={"table": ("table", "all")},
    predict=Apply(fitted=FITTED, port=FITTED, by=TRANSFORM.name),
    dishonest=BINNING_CHEATS,
)
