"""Predicts each party's own rows with a model that it holds whole; nothing is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.components.columns import expect_columns
from atoll.components.scores import Floats, Scores, csv_of, scores_of
from atoll.components.unused import unused_report
from atoll.core.errors import UserError
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import EVERYBODY, NO_EDGES
from atoll.jobs.schema import Port, Purpose
from atoll.models.columns import match_columns
from atoll.models.kinds import ModelKind, kind_of

if TYPE_CHECKING:
    from atoll.table import Table


class LocalPredictionParameters(Frozen):
    """The model determines everything."""


def run(task: Task, parameters: LocalPredictionParameters) -> Result:
    """Predict the rows of a table; columns are found by name.

    A class's number is the score of a model with several classes; ``predictions.csv`` has the
    probability of each. Errors: ATL-MOD-003 columns are missing, ATL-MOD-008 the parts of this kind
    of model only score together.
    """
    table: Table = task.inputs["table"]
    part = task.inputs["model"]
    kind = kind_of(part, task.kinds)
    columns = kind.columns(part) if kind else ()
    unused = match_columns(columns, table.columns).unused
    found = _alone(kind, type(part).__name__)(part, table.matrix(columns))
    wide = found.ndim == 2
    score = _classes(found) if wide else found
    known = table.label_name is not None
    label = table.label() if known else np.full(table.num_rows, np.nan)
    scores = Scores(table.ids(), label, score, found if wide else None)
    data = _to_csv(scores, found) if wide else scores.to_csv()
    report = unused_report("Prediction", unused)
    return Result({"scores": scores}, {"predictions.csv": data}, report)


def _classes(found: Floats) -> Floats:
    """Return the number of the most probable class; a row with a missing value has none (NaN)."""
    classes: Floats = found.argmax(axis=1).astype(np.float64)
    classes[np.isnan(found).any(axis=1)] = np.nan
    return classes


def _alone(kind: ModelKind | None, name: str) -> Callable[[Any, Floats], Floats]:
    if kind is None or kind.alone is None:
        raise UserError(
            "ATL-MOD-008",
            f"a party cannot score rows alone with a model of kind {kind.name if kind else name!r}",
            place="model",
            hint="each party holds a part of it: use the component prediction",
        )
    return kind.alone


def _to_csv(scores: Scores, probabilities: Floats) -> bytes:
    import pyarrow as pa

    table = scores.to_arrow()
    table = table.rename_columns([{"score": "class"}.get(n, n) for n in table.column_names])
    for at in range(probabilities.shape[1]):
        table = table.append_column(f"probability_{at}", pa.array(probabilities[:, at]))
    return csv_of(table)


def describe(facts: Facts, parameters: LocalPredictionParameters) -> Terms:
    """Nothing leaves a party. Errors: ATL-MOD-003, ATL-MOD-008."""
    tables = facts.inputs["table"]
    for party, model in facts.inputs["model"].items():
        kind = facts.kinds.get(model.kind)
        if kind is not None:
            _alone(kind, model.kind)
        if party in tables:
            expect_columns(model, tables[party], party, f"steps.{facts.step}")
    return Terms(outputs={"scores": {party: scores_of(table) for party, table in tables.items()}})


LOCAL_PREDICTION = Component(
    name="local_prediction",
    version="1",
    parameters=LocalPredictionParameters,
    run=run,
    roles=EVERYBODY,
    edges=NO_EDGES,
    describe=describe,
    sources=("atoll.models",),
    inputs={
        "model": Port("model", purpose=Purpose.MODEL, only_with=True),
        "table": Port("table", purpose=Purpose.TEST, only_with=True),
    },
    outputs={"scores": "scores"},
)
