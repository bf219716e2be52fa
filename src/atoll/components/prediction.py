"""Scores rows with a model whose parts the parties hold; only the guest gets the scores."""

from __future__ import annotations

import numpy as np

from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.components.scores import Scores
from atoll.core.errors import InternalError
from atoll.jobs.definition import Frozen
from atoll.jobs.schema import Port, Purpose
from atoll.models.boosting import SCORE_REVEALS, score


class PredictionParameters(Frozen):
    """Nothing to choose: the model says it all."""


def run(task: Task, parameters: PredictionParameters) -> Result:
    """Score an aligned table together."""
    party, table = task.party, task.inputs["table"]
    found = score(party, task.inputs["model"], table.matrix())
    if party.name != party.guest:
        return Result()
    if found is None:
        raise InternalError("ATL-INT-001", "the guest got no scores")
    # New rows are scored before anybody knows how they turn out.
    known = table.label_name is not None
    label = table.label() if known else np.full(table.num_rows, np.nan)
    scores = Scores(table.ids(), label, found)
    return Result({"scores": scores}, {"scores.csv": scores.to_csv()})


def describe(facts: Facts, parameters: PredictionParameters) -> Terms:
    """Say what joint scoring reveals: a bit for each row and split of a host."""
    return Terms(
        implementation="boosting.score",
        trust_model="federated",
        reveals=SCORE_REVEALS,
        estimated_bytes=min(facts.rows(party) for party in facts.roles) * 16,
        owners={"scores": (facts.guest,)},
    )


PREDICTION = Component(
    name="prediction",
    version="1",
    parameters=PredictionParameters,
    run=run,
    describe=describe,
    sources=("atoll.models.boosting",),
    inputs={
        "model": Port("boosting.model", purpose=Purpose.MODEL),
        "table": Port("table", purpose=Purpose.TEST),
    },
    outputs={"scores": "scores"},
)
