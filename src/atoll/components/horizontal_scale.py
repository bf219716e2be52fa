"""Scales the columns of many owners' rows alike, by statistics of all their rows together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
from atoll.components.predict import Apply
from atoll.components.scale import SCALE
from atoll.components.step_cheats import SCALE_CHEATS
from atoll.components.transform import FITTED, changed
from atoll.core.names import Role, party_of
from atoll.core.report import Report, TablePanel
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
from atoll.models.scaling import SCALE_TRANSFORM

WHAT = "counts of values in cells and sums of their powers by column"


class HorizontalScaleParameters(SummedRows):
    """Which columns are scaled and how, alike at all clients."""

    method: Literal["standard", "min-max"] = Field(
        default="standard",
        description="to mean 0 and deviation 1 of all rows together, or to a range that encloses "
        "their values",
    )
    columns: ColumnNames = None
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
    def wanted(self) -> tuple[str, ...] | None:
        """See ``SummedRows.wanted``."""
        return self.columns

    @property
    def step(self) -> Moments | Summary:
        """See ``SummedRows.step``."""
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

    Errors: those of ``over_clients``; ATL-BIN-001 a value is infinite, ATL-CMP-070 and ATL-CMP-071
    if values are too far apart.
    """
    if task.party.role == Role.AGGREGATOR:
        return _aggregate(task, parameters)
    own = own_rows(task, parameters, "table")
    sent, cut = own.take_part(own.rows())
    part = from_vectors(sent, party_of(task.party.name), own.names)
    report = Report(title="Horizontal scaling", panels=(*SCALE_TRANSFORM.card(part), *cut))
    return Result({"table": changed(SCALE_TRANSFORM, part, own.table), FITTED: part}, report=report)


def _aggregate(task: Task, parameters: HorizontalScaleParameters) -> Result:
    def result(state: State, names: tuple[str, ...]) -> Vectors:
        described, fill = parameters.fitted(state)
        return to_vectors(scaling("all", names, described, parameters.method, fill=fill))

    done, names = aggregated(task, parameters, result)
    return Result(report=report(parameters.fitted(done.state)[0], names, done.left))


def report(described: Described, names: tuple[str, ...], left: dict[str, int]) -> Report:
    """Return the aggregator's report: statistics of the pooled columns, and who left."""
    fields = ("mean", "deviation", "low", "high")
    values = [getattr(described, name).tolist() for name in fields]
    lines = zip(names, described.count.tolist(), described.missing.tolist(), *values, strict=True)
    # NaN marks a column without values.
    shown = [tuple(None if v != v else v for v in line) for line in list(lines)[:SHOWN]]
    columns = ("column", "values", "missing", "mean", "deviation", "at least", "at most")
    pooled = TablePanel(title="All rows", columns=columns, rows=tuple(shown))
    return Report(title="Horizontal scaling", panels=(pooled, *left_panels(left)))


def describe(facts: Facts, parameters: HorizontalScaleParameters) -> Terms:
    """Return what fitting reveals: sums by column; rows and columns stay the same.

    Errors: those of ``over_clients.planned`` and ``over_clients.terms``.
    """
    columns, held = planned(facts, parameters, "table"), facts.inputs["table"]
    fitted = {client: ArtifactFacts(SCALE_TRANSFORM.name, columns=columns) for client in held}
    return terms(facts, parameters, columns, "moments", WHAT, {"table": held, FITTED: fitted})


HORIZONTAL_SCALE = over_clients(
    "horizontal_scale",
    HorizontalScaleParameters,
    run,
    describe,
    sources=("atoll.components.scale", "atoll.models.scaling"),
    outputs={"table": "table", FITTED: SCALE_TRANSFORM.name},
    rows={"table": ("table", "all")},
    predict=Apply(fitted=FITTED, port=FITTED, by=SCALE.name),
    dishonest=SCALE_CHEATS,
)
