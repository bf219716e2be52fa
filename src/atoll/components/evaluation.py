"""Measures scores against labels, at the guest alone; nothing is sent."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import EVERYBODY, NO_EDGES
from atoll.jobs.schema import Port
from atoll.learning.evaluation import evaluate, one_class


class EvaluationParameters(Frozen):
    """From which score on a row counts as predicted 1."""

    threshold: float = Field(default=0.5, ge=0, le=1, description="least score of a predicted 1")


def run(task: Task, parameters: EvaluationParameters) -> Result:
    """Evaluate held-out scores, and the training rows' beside them if they are given."""
    scores = task.inputs["scores"]
    held = evaluate(scores.label, scores.score, parameters.threshold)
    figures: dict[str, Any] = {"test": held.to_dict()}
    train = task.inputs.get("train")
    if train is not None:
        figures["train"] = evaluate(train.label, train.score, parameters.threshold).to_dict()
    text = json.dumps(figures, indent=2, sort_keys=True, allow_nan=False)
    return Result(
        {"metrics": figures}, {"metrics.json": f"{text}\n".encode()}, held.to_report("Evaluation")
    )


def describe(facts: Facts, parameters: EvaluationParameters) -> Terms:
    """Nothing leaves the party that holds the scores. Errors: ATL-EVA-004 labels of one class."""
    held = facts.inputs["scores"]
    for scores in facts.inputs.values():
        for party, known in scores.items():
            if known.rows == 1 or (known.classes is not None and len(known.classes) == 1):
                raise one_class().located(party=party)
    return Terms(outputs={"metrics": {party: ArtifactFacts("metrics") for party in held}})


EVALUATION = Component(
    name="evaluation",
    version="1",
    parameters=EvaluationParameters,
    run=run,
    roles=EVERYBODY,
    edges=NO_EDGES,
    describe=describe,
    sources=("atoll.learning.evaluation",),
    inputs={
        "scores": Port("scores", label="binary"),
        "train": Port("scores", optional=True, label="binary"),
    },
    outputs={"metrics": "metrics"},
)
