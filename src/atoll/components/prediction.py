"""Scores rows with a model whose parts the parties hold; only the guest gets the scores."""

from __future__ import annotations

import numpy as np

from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.components.scores import Scores
from atoll.core.errors import InternalError, UserError
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
    """Say what joint scoring reveals: a bit for each row and split of a host.

    Errors: ATL-MOD-003 a party's table lacks columns of its model.
    """
    for party, model in facts.inputs["model"].items():
        table = facts.inputs["table"][party]
        if model.columns is not None and table.columns is not None:
            missing = [name for name in model.columns if name not in table.columns]
            if missing:
                raise UserError("ATL-MOD-003", f"missing {missing}", party=party)
    rows = facts.inputs["table"][facts.guest]
    scores = ArtifactFacts("scores", rows.rows, label=rows.label, sources=rows.sources)
    return Terms(
        implementation="boosting.score",
        trust_model="federated",
        reveals=SCORE_REVEALS,
        estimated_bytes=facts.least_rows() * 16,
        outputs={"scores": {facts.guest: scores}},
    )


PREDICTION = Component(
    name="prediction",
    version="1",
    parameters=PredictionParameters,
    run=run,
    describe=describe,
    sources=("atoll.models.boosting",),
    inputs={
        "model": Port("boosting.model", purpose=Purpose.MODEL, everywhere=True),
        "table": Port("table", purpose=Purpose.TEST, everywhere=True, aligned=True),
    },
    outputs={"scores": "scores"},
)
