"""Scores rows with a model whose parts the parties hold; only the guest gets the scores."""

from __future__ import annotations

import numpy as np

from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.components.columns import expect_columns
from atoll.components.scores import Scores, scores_of
from atoll.components.unused import unused_report
from atoll.core.errors import InternalError
from atoll.jobs.definition import Frozen
from atoll.jobs.schema import Port, Purpose
from atoll.models.boosting import SCORE_REVEALS, match_columns, score


class PredictionParameters(Frozen):
    """Nothing to choose: the model says it all."""


def run(task: Task, parameters: PredictionParameters) -> Result:
    """Score an aligned table together; its columns are found by name.

    Errors: ATL-MOD-003 columns of the model are missing, those of ``models.boosting.score``.
    """
    party, table, part = task.party, task.inputs["table"], task.inputs["model"]
    unused = match_columns(part.columns, table.columns).unused
    report = unused_report("Prediction", unused)
    found = score(party, part, table.matrix(part.columns), part.columns)
    if party.name != party.guest:
        return Result(report=report)
    if found is None:
        raise InternalError("ATL-INT-001", "the guest got no scores")
    # New rows are scored before anybody knows how they turn out.
    known = table.label_name is not None
    label = table.label() if known else np.full(table.num_rows, np.nan)
    scores = Scores(table.ids(), label, found)
    return Result({"scores": scores}, {"scores.csv": scores.to_csv()}, report)


def describe(facts: Facts, parameters: PredictionParameters) -> Terms:
    """Say what joint scoring reveals: a bit for each row and split of a host.

    Errors: ATL-MOD-003 a party's table lacks columns of its model.
    """
    for party, model in facts.inputs["model"].items():
        expect_columns(model, facts.inputs["table"][party], party, f"steps.{facts.step}")
    scores = scores_of(facts.inputs["table"][facts.guest])
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
