"""Measures clusters of own rows by labels, if there are any, and by distances; nothing is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import Field

from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.components.clients import chosen
from atoll.components.over_clients import ColumnNames
from atoll.core.errors import UserError
from atoll.core.report import Report
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import EVERYBODY, NO_EDGES
from atoll.jobs.schema import Port
from atoll.jobs.validation import near
from atoll.learning.evaluation import evaluate_clusters
from atoll.learning.features.statistics import ColumnName

if TYPE_CHECKING:
    from atoll.table import Table


class ClusterEvaluationParameters(Frozen):
    """Which column has the clusters, and which the values that distances are of."""

    added: ColumnName = Field(
        default="cluster",
        min_length=1,
        description="the column with the number of each row's cluster",
    )
    columns: ColumnNames = None


def run(task: Task, parameters: ClusterEvaluationParameters) -> Result:
    """Evaluate the clusters of this party's own rows, each party alone.

    The label, if the table has one, is what clusters are compared with; distances are of values as
    they stand in the table, of which none may be missing. Errors: ATL-TAB-002 no such column; those
    of ``evaluate_clusters``.
    """
    table: Table = task.inputs["table"]
    names = _features(table.columns, parameters)
    clusters = table.matrix([parameters.added])[:, 0]
    label = None if table.label_name is None else table.label()
    found = evaluate_clusters(clusters, label, table.matrix(names) if names else None)
    figures = {"clusters": found.to_dict(), "tables": found.tables()}
    text = json.dumps(figures, indent=2, sort_keys=True, allow_nan=False)
    report = Report(title="Evaluation of clusters", panels=found.panels())
    return Result({"metrics": figures}, {"metrics.json": f"{text}\n".encode()}, report)


def _features(columns: tuple[str, ...], parameters: ClusterEvaluationParameters) -> tuple[str, ...]:
    """Return the columns of values, none if there are none. Errors: ATL-TAB-002."""
    if parameters.added not in columns:
        raise UserError(
            "ATL-TAB-002",
            f"there is no column {parameters.added!r}",
            place="added",
            hint=near(parameters.added, columns),
        )
    others = tuple(name for name in columns if name != parameters.added)
    return chosen(parameters.columns, others) if others else ()


def describe(facts: Facts, parameters: ClusterEvaluationParameters) -> Terms:
    """Nothing leaves a party. Errors: ATL-TAB-002."""
    held = facts.inputs["table"]
    for table in held.values():
        if table.columns is not None:
            _features(table.columns, parameters)
    return Terms(outputs={"metrics": {party: ArtifactFacts("metrics") for party in held}})


CLUSTER_EVALUATION = Component(
    name="cluster_evaluation",
    version="1",
    parameters=ClusterEvaluationParameters,
    run=run,
    roles=EVERYBODY,
    edges=NO_EDGES,
    describe=describe,
    sources=("atoll.learning.evaluation",),
    inputs={"table": Port("table")},
    outputs={"metrics": "metrics"},
)
