"""Scales the columns of many owners' rows alike, by statistics of all their rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

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
from atoll.components.predict import Apply
from atoll.components.scale import FITTED, SCALE, apply
from atoll.components.step_cheats import SCALE_CHEATS
from atoll.core.exposure import EVERYONE, OPENED_SUMS, Exposure
from atoll.core.names import Role, party_of
from atoll.core.report import Panel, Report, TablePanel
from atoll.jobs.participation import ONE, SOME, star
from atoll.jobs.schema import Port
from atoll.learning.features.statistics import ColumnName
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.features import Described, Moments
from atoll.learning.horizontal.features.scaling import (
    Imputation,
    by_mean,
    by_median,
    from_vectors,
    scaling,
    to_vectors,
)
from atoll.learning.horizontal.features.summary import Summary
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties import step_aggregator
from atoll.learning.horizontal.parties.step_client import StepClient
from atoll.learning.horizontal.parties.step_work import (
    StepWork,
    Summed,
    bytes_of,
    reveals,
)
from atoll.models.scaling import SCALE_TRANSFORM

if TYPE_CHECKING:
    from atoll.table import Table

SHOWN = 200
WHAT = "counts of values in cells and sums of their powers by column"


class HorizontalScaleParameters(Summed, EnoughRows):
    """Which columns are scaled and how, alike at all clients."""

    method: Literal["standard", "min-max"] = Field(
        default="standard",
        description="to mean 0 and deviation 1 of all rows together, or to a range that encloses "
        "their values",
    )
    columns: tuple[ColumnName, ...] | None = Field(
        default=None, max_length=1 << 16, description="the columns; empty: all features"
    )
    missing: Literal["keep", "mean", "median"] = Field(
        default="keep",
        description="missing values: they stay, or the mean or median of all rows stands in for "
        "them; the median takes five rounds more at most, and is known to within a cell",
    )
    range_rounds: int = Field(
        default=3, ge=1, le=16, description="rounds at most that find the range of the values"
    )
    cells: int = Field(default=256, ge=16, le=1 << 16, description="cells of each of these rounds")

    @property
    def step(self) -> Moments | Summary:
        """What is summed."""
        if self.missing == "median":
            return Summary(range_rounds=self.range_rounds, cells=self.cells)
        return Moments(range_rounds=self.range_rounds, cells=self.cells)

    def fitted(self, state: State) -> tuple[Described, Imputation | None]:
        """Return what the last state states of all rows. Errors: ATL-HOR-102 before it."""
        step = self.step
        if isinstance(step, Summary):
            described, cells = step.result(state)
            return described, by_median(cells)
        described = step.result(state)
        return described, by_mean(described) if self.missing == "mean" else None


def run(task: Task, parameters: HorizontalScaleParameters) -> Result:
    """Fit one scaling of all clients' rows; each client scales its own and keeps what was fitted.

    Errors: those of ``parties``; ATL-BIN-001 a value is infinite, ATL-CMP-070 and ATL-CMP-071 if
    values are too far apart, ATL-TAB-002.
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
    sent = client.run()
    part = from_vectors(sent, party_of(party.name), names)
    report = Report(
        title="Horizontal scaling", panels=(*SCALE_TRANSFORM.card(part), *cut_panels(client.cut))
    )
    return Result({"table": apply(table, part), FITTED: part}, report=report)


def _work(parameters: HorizontalScaleParameters, columns: int, task: Task) -> StepWork:
    party = task.party
    return StepWork.of(parameters.step, columns, parameters, party.clients, party.rows)


def _aggregate(task: Task, parameters: HorizontalScaleParameters) -> Result:
    party = task.party
    columns = width_of(party)
    count = columns if parameters.columns is None else len({*parameters.columns})
    # The aggregator needs no names, and has no table that states them.
    names = tuple(f"column {at + 1}" for at in range(count))
    work = _work(parameters, count, task)

    def result(state: State) -> Vectors:
        described, fill = parameters.fitted(state)
        return to_vectors(scaling("all", names, described, parameters.method, fill=fill))

    done = step_aggregator.run(party, work, result)
    return Result(report=report(parameters.fitted(done.state)[0], names, done.left))


def report(described: Described, names: tuple[str, ...], left: dict[str, int]) -> Report:
    """Return the aggregator's report: statistics of the pooled columns, and who left."""
    fields = ("mean", "deviation", "low", "high")
    values = [getattr(described, name).tolist() for name in fields]
    lines = zip(names, described.count.tolist(), described.missing.tolist(), *values, strict=True)
    # NaN marks a column without values.
    shown = [tuple(None if v != v else v for v in line) for line in list(lines)[:SHOWN]]
    columns = ("column", "values", "missing", "mean", "deviation", "at least", "at most")
    panels: list[Panel] = [TablePanel(title="All rows", columns=columns, rows=tuple(shown))]
    if left:
        gone = tuple(sorted(left.items()))
        panels.append(TablePanel(title="Clients that left", columns=("client", "round"), rows=gone))
    return Report(title="Horizontal scaling", panels=tuple(panels))


def describe(facts: Facts, parameters: HorizontalScaleParameters) -> Terms:
    """Return what fitting reveals: sums by column; rows and columns stay the same.

    Errors: ATL-HOR-084, ATL-HOR-085, ATL-HOR-160 to ATL-HOR-162, ATL-TAB-002.
    """
    known = check_clients(facts, parameters.minimum_clients, "table")
    parameters.refuse_planned(facts, "table")
    columns = None if known is None else chosen(parameters.columns, known)
    clients, step = facts.having(Role.CLIENT), parameters.step
    width, masked = len(columns or ()) or 1, parameters.sum == "masked"
    work = StepWork.of(step, width, parameters, clients, {})
    held = facts.inputs["table"]
    fitted = {client: ArtifactFacts(SCALE_TRANSFORM.name, columns=columns) for client in held}
    return Terms(
        implementation=f"horizontal.moments.{parameters.sum}",
        trust_model="federated",
        reveals=reveals(masked, len(clients)),
        minimums={"clients": parameters.minimum_clients, "rows": parameters.minimum_rows},
        estimated_bytes=bytes_of(work, len(clients)),
        outputs={"table": held, FITTED: fitted},
        warnings=tuple(
            sum_warnings(facts, parameters.minimum_clients, WHAT, step.most_rounds, masked=masked)
        ),
        exposure=(Exposure(OPENED_SUMS, work.sizes.total, Role.CLIENT, EVERYONE),),
    )


HORIZONTAL_SCALE = Component(
    name="horizontal_scale",
    version="1",
    parameters=HorizontalScaleParameters,
    run=run,
    describe=describe,
    roles={Role.CLIENT: SOME, Role.AGGREGATOR: ONE},
    edges=star(Role.AGGREGATOR),
    quorum=lambda parameters: {Role.CLIENT: parameters.minimum_clients},
    sources=(
        "atoll.learning.horizontal",
        "atoll.components.scale",
        "atoll.models.scaling",
        "atoll.operators.secure_sum",
        "atoll.crypto",
    ),
    inputs={"table": Port("table", everywhere=True, roles=frozenset({Role.CLIENT}))},
    outputs={"table": "table", FITTED: SCALE_TRANSFORM.name},
    rows={"table": ("table", "all")},
    predict=Apply(fitted=FITTED, port=FITTED, by=SCALE.name),
    dishonest=SCALE_CHEATS,
    public_codes=PUBLIC_CODES,
)
