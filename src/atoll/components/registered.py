"""Brings each party's part of a registered model into a job, and the rows as that model knows them.

Columns are taken by name and in the order of the training, never by position.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field

from atoll.components.api import (
    ArtifactFacts,
    Component,
    Facts,
    OwnFacts,
    Result,
    Task,
    Terms,
)
from atoll.components.columns import expect_columns
from atoll.components.predict import Drop
from atoll.components.references import PART, ModelRef, Registered
from atoll.components.unused import unused_report
from atoll.core.errors import UserError
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import NO_EDGES, OWNERS
from atoll.jobs.schema import Port, Purpose
from atoll.models.catalogue import UNSTATED
from atoll.models.columns import match_columns
from atoll.models.kinds import Kinds, ModelKind, kind_of

MODEL_ID = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
KIND = r"^[a-z][a-z0-9_-]{0,62}\.[a-z][a-z0-9_-]{0,62}$"


class RegisteredModelParameters(Frozen):
    """Which model of the registry; every party holds its own part under the same id."""

    model: str = Field(
        pattern=MODEL_ID, max_length=128, description="the id of the model in the registry"
    )
    version: int = Field(default=1, ge=1, lt=1 << 31, description="the version of the model")
    kind: str = Field(
        default=UNSTATED,
        pattern=KIND,
        max_length=127,
        description="the kind of the model; each party compares it with its own part",
    )

    def reference(self, party: str) -> ModelRef:
        """Return what a party's node hands in."""
        return ModelRef(self.model, self.version)


def run(task: Task, parameters: RegisteredModelParameters) -> Result:
    """Hand on the part that the node took from its registry.

    Errors: ATL-REG-010 no registry here, or the part is another party's; ATL-MOD-003 columns
    of the model are missing; ATL-MOD-005 a kind that is not known here.
    """
    part, table = task.inputs.get(PART), task.inputs["table"]
    if part is None:
        raise no_part(parameters.model)
    kind = kind_of(part, task.kinds)
    if kind is None:
        raise unknown_kind(parameters.kind)
    check_owner(kind, part, task.party.name, parameters.model)
    columns = kind.columns(part)
    unused = match_columns(columns, table.columns).unused
    outputs = {"model": part, "table": table.select(columns)}
    return Result(outputs, report=unused_report("Model", unused))


def no_part(model: str) -> UserError:
    """Return the refusal of a registered part that no one handed in."""
    return UserError(
        "ATL-REG-010",
        "there is no part of this model here",
        place=model,
        hint="registered models are held by nodes; submit the job to one",
    )


def check_owner(kind: ModelKind, part: Any, party: str, model: str) -> None:
    """Refuse another party's part. Errors: ATL-REG-010."""
    if kind.party(part) != party:
        raise UserError(
            "ATL-REG-010",
            "the registered part belongs to another party",
            place=model,
            hint="migrate the model to this party's id",
        )


def unknown_kind(name: str) -> UserError:
    """Return the refusal of a kind that nothing here declares."""
    return UserError(
        "ATL-MOD-005",
        f"the kind {name!r} is not known here",
        place="parameters.kind",
        hint="install and approve the component that brings it, or name another kind",
    )


def stated_kind(name: str, general: str, kinds: Kinds) -> str:
    """Return a kind that a job states. Errors: ATL-MOD-005 it is none of this sort known here."""
    if name not in kinds or not name.endswith(f".{general}"):
        raise unknown_kind(name)
    return name


def check_registered(own: OwnFacts, found: Registered, stated: str, model: str) -> ModelKind:
    """Hold a registered part against what the job states about it, and the parties against those
    of it.

    Errors: ATL-REG-010 another party's, ATL-MOD-002 fitted with other parties, ATL-MOD-005 another
    kind.
    """
    if found.kind != stated:
        raise UserError(
            "ATL-MOD-005",
            f"what is registered here is of kind {found.kind!r}, but the job states {stated!r}",
            place="parameters.kind",
            hint=f"state the kind {found.kind}",
        )
    kind = own.kinds[stated]
    check_owner(kind, found.value, own.party, model)
    if not kind.fits(found.value, own.roles):
        raise UserError(
            "ATL-MOD-002",
            "the model was trained with other parties or roles",
            place=model,
            hint="name the parties of its training, each in the role that it had",
        )
    return kind


def describe(facts: Facts, parameters: RegisteredModelParameters) -> Terms:
    """Nothing is sent; which columns a registered model has is known to who holds its part.

    Errors: ATL-MOD-003 a party's table lacks columns of a model that comes from a step,
    ATL-MOD-005 no kind of model that is known here.
    """
    model = facts.inputs.get(PART)
    if model is None:
        model = facts.everyone(stated_kind(parameters.kind, "model", facts.kinds))
    table = {}
    for party, held in facts.inputs["table"].items():
        expect_columns(model[party], held, party, f"steps.{facts.step}")
        table[party] = replace(held, columns=model[party].columns)
    return Terms(outputs={"model": model, "table": table})


def check(own: OwnFacts, parameters: RegisteredModelParameters) -> None:
    """Hold this party's part of the model against its table and the other parties.

    Errors: ATL-REG-… no such model here, ATL-MOD-003 a column of the training is missing, those
    of ``check_registered``.
    """
    if PART in own.inputs:
        return
    found = own.part(parameters.reference(own.party))
    kind = check_registered(own, found, parameters.kind, parameters.model)
    model = ArtifactFacts(kind.name, columns=kind.columns(found.value))
    expect_columns(model, own.inputs["table"], own.party, f"steps.{own.step}")


REGISTERED_MODEL = Component(
    name="model",
    version="1",
    parameters=RegisteredModelParameters,
    run=run,
    roles=OWNERS,
    edges=NO_EDGES,
    describe=describe,
    check=check,
    sources=("atoll.components.registered", "atoll.models"),
    inputs={
        "table": Port("table", purpose=Purpose.TEST, everywhere=True),
        PART: Port("model", optional=True, purpose=Purpose.MODEL, everywhere=True),
    },
    outputs={"model": "model", "table": "table"},
    rows={"table": ("table", "all")},
    predict=Drop(),
)
