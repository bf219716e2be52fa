"""Groups many owners' rows into clusters around common centres (k-means), by sums over clients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from atoll.components.api import ArtifactFacts, Facts, Result, Task, Terms
from atoll.components.over_clients import (
    FEW,
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
from atoll.components.scores import csv_of
from atoll.components.step_cheats import KMEANS_CHEATS
from atoll.components.transform import FITTED, TRANSFORM, changed, taken
from atoll.core.names import Role, party_of
from atoll.core.report import KeyValuePanel, Report, TablePanel
from atoll.learning.features.statistics import ColumnName
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.clustering import Clusters, KMeans, complete
from atoll.learning.horizontal.local import ClientRows
from atoll.models.clusters import CLUSTERS_TRANSFORM, MOST_CLUSTERS, ClusterPart, card

if TYPE_CHECKING:
    from atoll.table import Table

WHAT = "row counts by cluster, and sums by cluster and column of distances and their squares"


class HorizontalKMeansParameters(SummedRows):
    """Which columns rows are grouped by, and into how many clusters."""

    columns: ColumnNames = None
    clusters: int = Field(default=8, ge=1, le=MOST_CLUSTERS, description="clusters at most")
    rounds: int = Field(
        default=50,
        ge=1,
        le=1 << 16,
        description="rounds at most, those that find a start among them",
    )
    cells: int = Field(
        default=4,
        ge=1,
        le=16,
        description="cells for each cluster, among whose means the start is chosen",
    )
    seed: int = Field(default=0, ge=0, le=1 << 62, description="of the choice among cells; public")
    tolerance: float = Field(
        default=1e-4,
        ge=0,
        le=1,
        description="greatest move of a centre in the last round, relative to the rows' mean "
        "distance from their centres",
    )
    bound: float = Field(
        default=16.0,
        gt=0,
        le=1e6,
        description="values beyond ± this are cut to it; made for columns of deviation 1",
    )
    added: ColumnName = Field(
        default="cluster",
        min_length=1,
        description="the new column with the number of each row's cluster",
    )

    @property
    def wanted(self) -> tuple[str, ...] | None:
        """See ``SummedRows.wanted``."""
        return self.columns

    @property
    def step(self) -> KMeans:
        """See ``SummedRows.step``."""
        return KMeans(
            clusters=self.clusters,
            rounds=self.rounds,
            cells=self.cells,
            seed=self.seed,
            tolerance=self.tolerance,
            bound=self.bound,
        )

    def results(self, columns: int) -> int:
        """See ``SummedRows.results``: centres, counts and the inertia."""
        return self.clusters * (columns + 1) + 1


def run(task: Task, parameters: HorizontalKMeansParameters) -> Result:
    """Find clusters of all clients' rows together; each client keeps the centres, and assigns its
    own rows: a column of its table, and ``clusters.csv``.

    Errors: those of ``over_clients``; ATL-BIN-001 a value is infinite, ATL-HOR-112 one is missing,
    ATL-HOR-102 ``rounds`` were too few for a start, ATL-MOD-003 ``added`` is a column already.
    """
    if task.party.role == Role.AGGREGATOR:
        return _aggregate(task, parameters)
    own = own_rows(task, parameters, "table")
    _free(parameters.added, own.table.columns, own.table.label_name, own.table.id_name)
    data = own.rows()
    complete(data.rows, len(own.names))
    sent, cut = own.take_part(data)
    found = parameters.step.received(sent, len(own.names))
    part = to_part(found, party_of(task.party.name), own.names, parameters)
    table = changed(CLUSTERS_TRANSFORM, part, own.table)
    panels = (*panels_of(found, rows_of(part, data)), *card(part), *cut)
    report = Report(title="Horizontal k-means", panels=panels)
    files = {"clusters.csv": _csv(table, parameters.added)}
    return Result({"table": table, FITTED: part}, files, report)


def to_part(
    found: Clusters, party: str, names: tuple[str, ...], parameters: HorizontalKMeansParameters
) -> ClusterPart:
    """Return what a party keeps."""
    return ClusterPart(
        party=party,
        columns=names,
        centres=tuple(map(tuple, found.centres.tolist())),
        bound=parameters.bound,
        added=parameters.added,
    )


def rows_of(part: ClusterPart, data: ClientRows) -> list[int]:
    """Return how many of a client's rows are in each cluster."""
    codes = part.assign(np.asarray(data.rows, dtype=np.float64)).astype(np.int64)
    found: list[int] = np.bincount(codes, minlength=len(part.centres)).tolist()
    return found


def panels_of(found: Clusters, own: list[int] | None) -> tuple[KeyValuePanel | TablePanel, ...]:
    """Return the clusters' sizes, of all rows in the last round and of own ones as assigned."""
    columns: tuple[str, ...] = ("cluster", "rows of all clients")
    counts = found.counts.astype(int).tolist()
    lines: list[tuple[int, ...]] = list(enumerate(counts))
    if own is not None:
        columns = (*columns, "own rows")
        lines = [(*line, count) for line, count in zip(lines, own, strict=True)]
    return (
        KeyValuePanel(title="Fit", values={"clusters": len(counts), "inertia": found.inertia}),
        TablePanel(title="Clusters", columns=columns, rows=tuple(lines)),
    )


def _csv(table: Table, added: str) -> bytes:
    """Return ids and clusters as CSV, a line a row."""
    import pyarrow as pa

    columns = {table.id_name: table.ids().cast(pa.large_string()), added: table.column(added)}
    return csv_of(pa.table(columns))


def _aggregate(task: Task, parameters: HorizontalKMeansParameters) -> Result:
    step, shown = parameters.step, 0

    def result(state: State, names: tuple[str, ...]) -> Vectors:
        return step.result(state).vectors()

    def watch(state: State) -> None:
        nonlocal shown
        if state.round > shown:
            task.party.metric("inertia", step.inertia(state), state.round)
            shown = state.round

    done, _ = aggregated(task, parameters, result, watch)
    panels = (*panels_of(step.result(done.state), None), *left_panels(done.left))
    return Result(report=Report(title="Horizontal k-means", panels=panels))


def describe(facts: Facts, parameters: HorizontalKMeansParameters) -> Terms:
    """Return what fitting reveals: sums by cluster; rows stay the same, with a column more.

    Errors: those of ``over_clients.planned`` and ``over_clients.terms``; ATL-MOD-003.
    """
    columns, held = planned(facts, parameters, "table"), facts.inputs["table"]
    made = {}
    for client, table in held.items():
        known = table.columns
        _free(parameters.added, known or (), table.label)
        more = None if known is None else (*known, parameters.added)
        made[client] = replace(table, columns=more)
    kind = CLUSTERS_TRANSFORM.name
    return terms(
        facts,
        parameters,
        columns,
        "kmeans",
        WHAT,
        {"table": made, FITTED: {c: ArtifactFacts(kind, columns=columns) for c in held}},
        warnings=_warnings(sum(table.rows for table in held.values()), parameters),
    )


def _free(added: str, columns: tuple[str, ...], *more: str | None) -> None:
    """Refuse to add a column of a name that there is. Errors: ATL-MOD-003."""
    if added in columns or added in more:
        raise taken(added)


def _warnings(rows: int, parameters: HorizontalKMeansParameters) -> tuple[str, ...]:
    found = (
        "a cluster of few rows shows them: its centre, which all clients get, is their mean, and "
        "of a single row that row, though not whose it is",
    )
    each = rows // (parameters.clusters * parameters.cells)
    if not rows or each >= FEW:
        return found
    few = f"a cell of the start has about {each or 'no'} rows; take fewer clusters or cells"
    return (*found, few)


HORIZONTAL_KMEANS = over_clients(
    "horizontal_kmeans",
    HorizontalKMeansParameters,
    run,
    describe,
    sources=("atoll.components.transform", "atoll.models.clusters"),
    outputs={"table": "table", FITTED: CLUSTERS_TRANSFORM.name},
    rows={"table": ("table", "all")},
    predict=Apply(fitted=FITTED, port=FITTED, by=TRANSFORM.name),
    dishonest=KMEANS_CHEATS,
)
