"""From the graph that trained a model to the job that scores rows with it. Pure functions.

Only steps that may be used in prediction are taken over (readers and intersections); what
stands between them and the training falls away where it only chose rows (splits, samples, unions).
What a component of others did to the columns would be lost, so no job is made of such a graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.components.registered import REGISTERED_MODEL
from atoll.core.errors import UserError
from atoll.jobs.definition import RESERVED, Job, Step
from atoll.jobs.validation import near

DEPLOYABLE = frozenset({"reader", "psi"})
# Their tables have the columns of those that they take, with the same values.
CHOOSES_ROWS = frozenset({"split", "sample", "union", REGISTERED_MODEL.name})
READER = "reader"
MODEL_STEP = "model"
PREDICTION_STEP = "prediction"
MODEL_KINDS: Mapping[str, str] = {"boosting.model": "prediction"}
_ROWS = ("train", "table", "tables.0")


def predict_job(
    graph: Job,
    step: str,
    kind: str,
    model: str,
    version: int,
    tables: Mapping[str, str],
    label: str | None = None,
) -> Job:
    """Return the job that scores ``tables`` (by party) with the model of a training step.

    ``label`` is the label's column in the guest's table, empty if it has none; None: that of the
    training. It has no seed, whatever the graph has: scoring draws nothing that is public, and what
    a reader, an intersection and a model give does not depend on the coins.
    Errors: ATL-REG-009 the model's kind or graph has no prediction, or tables do not fit.
    """
    _check_tables(graph, tables)
    scorer = MODEL_KINDS.get(kind)
    if scorer is None:
        raise _none(f"models of kind {kind!r} have no prediction")
    steps: dict[str, Step] = {}
    rows = _rows_of(graph, graph.steps[step])
    source = _take(graph, rows, tables, steps, label)
    steps[MODEL_STEP] = Step(
        component=REGISTERED_MODEL.name,
        inputs={"table": source},
        parameters={"model": model, "version": version},
    )
    steps[PREDICTION_STEP] = Step(
        component=scorer,
        inputs={"model": f"{MODEL_STEP}.model", "table": f"{MODEL_STEP}.table"},
    )
    name = f"predict-{graph.name}"[:63].rstrip("-_")
    return Job(name=name, parties=graph.parties, steps=steps)


def _check_tables(graph: Job, tables: Mapping[str, str]) -> None:
    for party in tables:
        if party not in graph.parties:
            raise UserError(
                "ATL-REG-009",
                "a table is given for a party that has no part of the model",
                place=f"tables.{party}",
                hint=near(party, graph.parties),
            )
    missing = sorted(graph.parties.keys() - tables.keys())
    if missing:
        raise UserError(
            "ATL-REG-009",
            "every party of the model needs a table",
            place="tables",
            hint=f"missing: {', '.join(missing)}",
        )


def _rows_of(graph: Job, step: Step) -> str:
    for port in _ROWS:
        if port in step.inputs:
            return step.inputs[port]
    raise _none("a step before the training takes no rows")


def _take(
    graph: Job,
    source: str,
    tables: Mapping[str, str],
    steps: dict[str, Step],
    label: str | None,
) -> str:
    """Take over the steps behind an output; return the output that stands for it."""
    name, _, output = source.partition(".")
    step = graph.steps.get(name)
    if step is None:
        raise _none("the graph of its training is damaged")
    if step.component not in DEPLOYABLE | CHOOSES_ROWS:
        raise _none(f"step {name} ({step.component}) may have changed the columns")
    if step.component not in DEPLOYABLE:
        return _take(graph, _rows_of(graph, step), tables, steps, label)
    inputs = {port: _take(graph, at, tables, steps, label) for port, at in step.inputs.items()}
    name = name if name not in {MODEL_STEP, PREDICTION_STEP, *RESERVED} else f"{name}-rows"
    parameters: dict[str, Any] = dict(step.parameters)
    stated = parameters.pop("aligned", False) if step.component == READER else False
    if step.component == READER:
        parameters["tables"] = dict(tables)
        if label is not None:
            parameters["label"] = label
    steps[name] = Step(
        component=step.component, inputs=inputs, parameters=parameters, overrides=step.overrides
    )
    if not stated:
        return f"{name}.{output}"
    # That the tables of the training were aligned says nothing of these.
    common = f"{name[:50]}-common"
    while common in graph.steps or common in steps:
        common = f"{common[:60]}-2"
    steps[common] = Step(component="psi", inputs={"table": f"{name}.{output}"})
    return f"{common}.table"


def _none(reason: str) -> UserError:
    return UserError(
        "ATL-REG-009",
        f"no predict job can be made of this model: {reason}",
        hint="write one by hand with the steps that its rows need",
    )
