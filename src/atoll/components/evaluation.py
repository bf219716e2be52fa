"""Measures scores against labels, at the party that holds both; nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from atoll.components.api import ArtifactFacts, Component, Facts, OwnFacts, Result, Task, Terms
from atoll.components.labels import refuse_other_classes
from atoll.components.scores import Floats, Scores, in_order
from atoll.core.errors import UserError
from atoll.core.report import LinePanel, Panel, Report, Series, TablePanel
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import EVERYBODY, NO_EDGES
from atoll.jobs.schema import Port
from atoll.learning.evaluation import (
    LABELS,
    AucComparison,
    BinaryEvaluation,
    MultiClassEvaluation,
    RegressionEvaluation,
    Stability,
    drawn,
    evaluate,
    evaluate_classes,
    evaluate_numbers,
    one_class,
)

Evaluation = BinaryEvaluation | MultiClassEvaluation | RegressionEvaluation
ModelName = Annotated[str, Field(min_length=1, max_length=63)]


class EvaluationParameters(Frozen):
    """What the scores are of, and from which score on a row counts as predicted 1."""

    task: Literal["binary", "multi_class", "regression"] = Field(
        default="binary",
        description="what scores are: probabilities of label 1 (or any that rise with it), numbers "
        "of classes, or predicted values",
    )
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="least score of a predicted 1, for `task: binary`"
    )
    names: tuple[ModelName, ...] = Field(
        default=(),
        max_length=64,
        description="of the models in the report: that of `scores`, then those of `others`; empty: "
        "numbers",
    )

    @model_validator(mode="after")
    def _different(self) -> EvaluationParameters:
        if len(set(self.names)) != len(self.names):
            raise ValueError("names of models must differ")
        return self


def run(task: Task, parameters: EvaluationParameters) -> Result:
    """Evaluate held-out scores, the training rows' beside them, and other models' if given.

    ``metrics`` has the figures: ``test``, ``train``, ``stability`` of the two, of several models
    ``models`` by name and ``differences`` of their AUC; lists by threshold, bin or class are in
    ``tables``. Errors: ATL-EVA-001…-008.
    """
    scores, train = task.inputs["scores"], task.inputs.get("train")
    held = _evaluated(scores, parameters)
    figures: dict[str, Any] = {"test": held.to_dict(), "tables": held.tables()}
    names = _names(parameters, 1 + len(task.several("others")))
    panels = list(held.panels(names[0]))
    if train is not None:
        figures["train"] = _evaluated(train, parameters).to_dict()
        if not isinstance(held, MultiClassEvaluation):
            stability = Stability.of(_single(train, parameters), _single(scores, parameters))
            figures["stability"] = {"psi": stability.index}
            figures["tables"] |= {"stability": stability.lines()}
            panels.append(stability.panel())
    # A party need not hold the scores of all of them.
    given = zip(names, [scores, *task.several("others")], strict=True)
    models = {name: in_order(scores, other) for name, other in given if other is not None}
    if len(models) > 1:
        found = {name: _evaluated(other, parameters) for name, other in models.items()}
        figures["models"] = {name: entry.to_dict() for name, entry in found.items()}
        panels = [_beside(found), *_curves(found), *panels]
        if parameters.task == "binary":
            compared = _compared(models, parameters)
            figures["differences"] = compared
            panels.insert(1, _differences(compared))
    text = json.dumps(figures, indent=2, sort_keys=True, allow_nan=False)
    report = Report(title="Evaluation", panels=tuple(panels))
    return Result({"metrics": figures}, {"metrics.json": f"{text}\n".encode()}, report)


def _names(parameters: EvaluationParameters, models: int) -> tuple[str, ...]:
    """Return the models' names. Errors: ATL-EVA-008 not as many as models."""
    names = parameters.names
    if names and len(names) != models:
        raise UserError(
            "ATL-EVA-008",
            f"{len(names)} names are given, and {models} models are evaluated",
            place="names",
            hint="name the model of scores first, then those of others in their order",
        )
    return names or ("model", *(f"model {at}" for at in range(2, models + 1)))


def _evaluated(scores: Scores, parameters: EvaluationParameters) -> Evaluation:
    if parameters.task == "multi_class":
        return evaluate_classes(scores.label, scores.score, scores.probabilities)
    values = _single(scores, parameters)
    if parameters.task == "regression":
        return evaluate_numbers(scores.label, values)
    return evaluate(scores.label, values, parameters.threshold)


def _single(scores: Scores, parameters: EvaluationParameters) -> Floats:
    """Return one value a row, of two classes the probability of the second.

    Errors: ATL-EVA-007 the scores are numbers of classes.
    """
    wide = scores.probabilities
    if wide is None:
        return scores.score
    if parameters.task == "binary" and wide.shape[1] == 2:
        return wide[:, 1]
    raise UserError(
        "ATL-EVA-007",
        f"the scores are numbers of {wide.shape[1]} classes",
        place="task",
        hint="write task: multi_class",
    )


def _beside(found: Mapping[str, Evaluation]) -> TablePanel:
    """Give figures a line, models a column."""
    figures = {name: entry.to_dict() for name, entry in found.items()}
    keys = next(iter(figures.values()))
    return TablePanel(
        title="Models",
        columns=("figure", *figures),
        rows=tuple(
            (
                LABELS.get(key, key.replace("_", " ")),
                *(entry.get(key) for entry in figures.values()),
            )
            for key in keys
        ),
    )


def _curves(found: Mapping[str, Evaluation]) -> tuple[Panel, ...]:
    lines = tuple(
        drawn(name, *entry.curves.roc())
        for name, entry in found.items()
        if isinstance(entry, BinaryEvaluation)
    )
    chance = Series(name="chance", x=(0.0, 1.0), y=(0.0, 1.0))
    panel = LinePanel(
        title="ROC curves of all models",
        x_label="false positive rate",
        y_label="true positive rate",
        series=(*lines, chance),
    )
    return (panel,) if lines else ()


def _compared(
    models: Mapping[str, Scores], parameters: EvaluationParameters
) -> list[dict[str, Any]]:
    """Compare the AUC of each model but the first with the first's, by DeLong's test."""
    first, *others = models
    values = [_single(scores, parameters) for scores in models.values()]
    found = AucComparison.of(models[first].label, values)
    return [
        {
            "model": name,
            "other": first,
            "auc_difference": float(found.auc[at] - found.auc[0]),
            "standard_error": found.error(at, 0),
            "p_value": found.p_value(at, 0),
        }
        for at, name in enumerate(others, start=1)
    ]


def _differences(compared: list[dict[str, Any]]) -> TablePanel:
    return TablePanel(
        title="Differences of AUC",
        help="DeLong's test, two-sided, on the same rows; not corrected for several tests",
        columns=("model", "less model", "AUC difference", "standard error", "p-value"),
        rows=tuple(tuple(line.values()) for line in compared),
    )


def describe(facts: Facts, parameters: EvaluationParameters) -> Terms:
    """Nothing leaves the party that holds the scores.

    Errors: ATL-EVA-004 labels of one class, ATL-EVA-008 names for other models than there are.
    """
    held = facts.inputs["scores"]
    _names(parameters, 1 + sum(port.partition(".")[0] == "others" for port in facts.inputs))
    for scores in facts.inputs.values() if parameters.task == "binary" else ():
        for party, known in scores.items():
            if known.rows == 1 or (known.classes is not None and len(known.classes) == 1):
                raise one_class().located(party=party)
    return Terms(outputs={"metrics": {party: ArtifactFacts("metrics") for party in held}})


def check(own: OwnFacts, parameters: EvaluationParameters) -> None:
    """Refuse own labels other than 0 and 1 where the task is binary. Errors: ATL-PLN-009."""
    for port, held in own.inputs.items() if parameters.task == "binary" else ():
        refuse_other_classes(own.step, port, held, own.party, own.tables.get(port, ()))


EVALUATION = Component(
    name="evaluation",
    version="1",
    parameters=EvaluationParameters,
    run=run,
    roles=EVERYBODY,
    edges=NO_EDGES,
    describe=describe,
    check=check,
    sources=("atoll.learning.evaluation",),
    inputs={
        "scores": Port("scores", label="any"),
        "train": Port("scores", optional=True, label="any"),
        "others": Port("scores", optional=True, many=True, label="any"),
    },
    outputs={"metrics": "metrics"},
)
