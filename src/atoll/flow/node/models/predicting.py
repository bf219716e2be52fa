"""From the graph that trained a model to the job that scores rows with it. Pure functions.

Each component states what becomes of its steps (``components.predict``): they are repeated on the
new rows, dropped as they only chose rows, or applied with what they fitted. A component that states
nothing may have changed the columns in a way that would be lost, so no job is made of such a graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atoll.components.api import Catalogue, Component
from atoll.components.catalogue import CATALOGUE
from atoll.components.fitted import FITTED
from atoll.components.kinds import declared
from atoll.components.local_prediction import LOCAL_PREDICTION
from atoll.components.predict import Apply, Drop, Repeat
from atoll.components.prediction import PREDICTION
from atoll.components.psi import PSI
from atoll.components.registered import REGISTERED_MODEL
from atoll.core.errors import UserError
from atoll.core.names import Roles
from atoll.flow.node.models.fitted import Fitted
from atoll.jobs.definition import RESERVED, Job, Step
from atoll.jobs.participation import OWNERS
from atoll.jobs.schema import Purpose
from atoll.jobs.validation import near

MODEL_STEP = "model"
PREDICTION_STEP = "prediction"


@dataclass(frozen=True)
class Trained:
    """A registered model: its version, the step that trained it, and what that graph fitted."""

    graph: Job
    step: str
    kind: str
    model: str
    version: int
    fitted: Fitted = field(default_factory=dict)


def predict_job(
    trained: Trained,
    tables: Mapping[str, str],
    label: str | None = None,
    catalogue: Catalogue = CATALOGUE,
) -> Job:
    """Return the job that scores ``tables`` (by party) with a model.

    Where each party holds the whole model, each scores its own table alone, and those that brought
    no rows to the training are not asked. ``label`` is the label's column in the guest's table, or
    at each client, empty if there is none; None: that of the training. It has no seed, whatever the
    graph has: scoring draws nothing that is public, and what is repeated or applied does not depend
    on the coins.
    Errors: ATL-REG-009 the model's kind or graph has no prediction, or tables do not fit.
    """
    graph = trained.graph
    kind = declared(catalogue).get(trained.kind)
    if kind is None or (kind.scorer is None and kind.alone is None):
        raise _none(f"nothing here scores rows with models of kind {trained.kind!r}")
    parties = graph.parties if kind.scorer is not None else _owners(graph)
    _check_tables(parties, tables)
    walk = _Walk(trained, tables, label, catalogue)
    steps = walk.steps
    source = walk.take(trained_on(graph, trained.step, catalogue))
    steps[MODEL_STEP] = Step(
        component=REGISTERED_MODEL.name,
        inputs={"table": source},
        parameters={"model": trained.model, "version": trained.version, "kind": trained.kind},
    )
    steps[PREDICTION_STEP] = Step(
        component=LOCAL_PREDICTION.name if kind.scorer is None else PREDICTION.name,
        inputs={"model": f"{MODEL_STEP}.model", "table": f"{MODEL_STEP}.table"},
    )
    name = f"predict-{graph.name}"[:63].rstrip("-_")
    return Job(name=name, parties=parties, steps=steps)


def _owners(graph: Job) -> dict[str, Roles]:
    """Return the parties that bring rows, in the roles in which they do."""
    held = {
        party: tuple(role for role in roles if role in OWNERS)
        for party, roles in graph.parties.items()
    }
    return {party: roles for party, roles in held.items() if roles}


def applied(graph: Job, step: str, catalogue: Catalogue) -> tuple[tuple[str, str], ...]:
    """Return the steps before a training that a predict job applies, and their fitted outputs.

    None for a graph of which no predict job is made.
    """
    found: dict[tuple[str, str], None] = {}

    def follow(source: str) -> None:
        name, _, output = source.partition(".")
        before, component = _step_of(graph, name, catalogue)
        if isinstance(component.predict, Drop):
            follow(before.inputs[_rows_port(component, before, output)])
            return
        spared = None
        if isinstance(component.predict, Apply):
            found[name, component.predict.fitted] = None
            spared = component.predict.port
        for port, at in before.inputs.items():
            if port != spared:
                follow(at)

    try:
        follow(trained_on(graph, step, catalogue))
    except UserError:
        return ()
    return tuple(found)


def trained_on(graph: Job, step: str, catalogue: Catalogue) -> str:
    """Return the output that a step trains on (or, as it hands a model on, is to score).

    Errors: ATL-REG-009.
    """
    trained = graph.steps[step]
    component = catalogue.get(trained.component)
    for purpose in (Purpose.TRAIN, Purpose.TEST):
        for port, wanted in component.inputs.items() if component else ():
            if wanted.purpose == purpose and port in trained.inputs:
                return trained.inputs[port]
    raise _none(f"step {step} ({trained.component}) takes no rows to train on")


def _step_of(graph: Job, name: str, catalogue: Catalogue) -> tuple[Step, Component]:
    step = graph.steps.get(name)
    if step is None:
        raise _none("the graph of its training is damaged")
    component = catalogue.get(step.component)
    if component is None or component.predict is None:
        raise _none(
            f"step {name} ({step.component}) may have changed the columns, and its component does "
            "not declare what becomes of it"
        )
    return step, component


def _rows_port(component: Component, step: Step, output: str) -> str:
    """Return the input whose rows an output goes on with; the first of many."""
    port = component.rows[output][0] if output in component.rows else ""
    for key in (port, f"{port}.0"):
        if key in step.inputs:
            return key
    raise _none(f"a step of {component.name} before the training takes no rows")


class _Walk:
    """Takes steps over, from a source of rows back to the tables; ``steps`` are the new ones."""

    def __init__(
        self,
        trained: Trained,
        tables: Mapping[str, str],
        label: str | None,
        catalogue: Catalogue,
    ) -> None:
        self.steps: dict[str, Step] = {}
        self._trained = trained
        self._tables = tables
        self._label = label
        self._catalogue = catalogue
        self._names: dict[str, str] = {}
        self._taken: dict[str, str] = {}

    def take(self, source: str) -> str:
        """Take over the steps behind an output; return the output that stands for it."""
        if source not in self._taken:
            self._taken[source] = self._take(source)
        return self._taken[source]

    def _take(self, source: str) -> str:
        name, _, output = source.partition(".")
        step, component = _step_of(self._trained.graph, name, self._catalogue)
        rule = component.predict
        if isinstance(rule, Drop):
            return self.take(step.inputs[_rows_port(component, step, output)])
        spared = rule.port if isinstance(rule, Apply) else None
        inputs = {port: self.take(at) for port, at in step.inputs.items() if port != spared}
        if isinstance(rule, Apply):
            inputs[rule.port] = self._fitted(name, step)
        parameters: Mapping[str, Any] = step.parameters
        made_by = step.component
        if isinstance(rule, Apply) and rule.by:
            parameters, made_by = {}, rule.by
        stated = False
        if isinstance(rule, Repeat) and rule.fresh is not None:
            parameters, stated = rule.fresh(step.parameters, self._tables, self._label)
        reserved = {MODEL_STEP, PREDICTION_STEP, *RESERVED}
        mine = self._names.get(name)
        if mine is None:
            mine = self._names[name] = f"{name}-rows" if name in reserved else name
        self.steps[mine] = Step(
            component=made_by,
            inputs=inputs,
            parameters=dict(parameters),
            overrides=step.overrides if made_by == step.component else {},
        )
        return self._common(name, f"{mine}.{output}") if stated else f"{mine}.{output}"

    def _fitted(self, name: str, step: Step) -> str:
        """Add the step that brings in what a step fitted; return its output."""
        held, trained = self._trained.fitted.get(name), self._trained
        if held is None:
            raise _none(f"what step {name} ({step.component}) fitted was not kept with it")
        everyone = set(held.parties) == trained.graph.parties.keys()
        mine = self._free(f"{name[:50]}-fitted")
        self.steps[mine] = Step(
            component=FITTED.name,
            parameters={
                "model": trained.model,
                "version": trained.version,
                "step": name,
                "kind": held.kind,
                **({} if everyone else {"parties": list(held.parties)}),
            },
        )
        return f"{mine}.fitted"

    def _common(self, name: str, source: str) -> str:
        """Add an intersection of rows that only the training's tables were stated to share."""
        mine = self._free(f"{name[:50]}-common")
        self.steps[mine] = Step(component=PSI.name, inputs={"table": source})
        return f"{mine}.table"

    def _free(self, name: str) -> str:
        while name in self._trained.graph.steps or name in self.steps:
            name = f"{name[:60]}-2"
        return name


def _check_tables(parties: Mapping[str, Roles], tables: Mapping[str, str]) -> None:
    for party in tables:
        if party not in parties:
            raise UserError(
                "ATL-REG-009",
                "a table is given for a party that has no part of the model",
                place=f"tables.{party}",
                hint=near(party, parties),
            )
    missing = sorted(parties.keys() - tables.keys())
    if missing:
        raise UserError(
            "ATL-REG-009",
            "every party of the model needs a table",
            place="tables",
            hint=f"missing: {', '.join(missing)}",
        )


def _none(reason: str) -> UserError:
    return UserError(
        "ATL-REG-009",
        f"no predict job can be made of this model: {reason}",
        hint="write one by hand with the steps that its rows need",
    )
