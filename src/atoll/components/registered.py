"""Brings each party's part of a registered model into a job, and the rows as that model knows them.

Columns are taken by name and in the order of the training, never by position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

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
from atoll.components.unused import unused_report
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import EVERYBODY, NOBODY
from atoll.jobs.schema import Port, Purpose
from atoll.models.boosting import GuestPart, Part, match_columns

PART = "part"


class RegisteredModelParameters(Frozen):
    """Which model of the registry; every party holds its own part under the same id."""

    model: str = Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        max_length=128,
        description="the id of the model in the registry",
    )
    version: int = Field(default=1, ge=1, lt=1 << 31, description="the version of the model")


def run(task: Task, parameters: RegisteredModelParameters) -> Result:
    """Hand on the part that the node took from its registry.

    Errors: ATL-REG-010 no registry here, or the part is another party's; ATL-MOD-003 columns
    of the model are missing.
    """
    part, table = task.inputs.get(PART), task.inputs["table"]
    if part is None:
        raise UserError(
            "ATL-REG-010",
            "there is no part of this model here",
            place=parameters.model,
            hint="registered models are held by nodes; submit the job to one",
        )
    _check_owner(part, task.party.name, parameters.model)
    unused = match_columns(part.columns, table.columns).unused
    outputs = {"model": part, "table": table.select(part.columns)}
    return Result(outputs, report=unused_report("Model", unused))


def _check_owner(part: Part, party: str, model: str) -> None:
    if part.party != party:
        raise UserError(
            "ATL-REG-010",
            "the registered part belongs to another party",
            place=model,
            hint="migrate the model to this party's id",
        )


def _fits(part: Part, roles: Mapping[str, Role]) -> bool:
    """Tell whether a part was trained in this role, with those of these parties that it knows."""
    guests = {name for name, role in roles.items() if role == Role.GUEST}
    if isinstance(part, GuestPart):
        return guests == {part.party} and set(part.hosts) == roles.keys() - guests
    return part.party not in guests and guests == {part.guest}


def describe(facts: Facts, parameters: RegisteredModelParameters) -> Terms:
    """Nothing is sent; which columns a registered model has is known to who holds its part.

    Errors: ATL-MOD-003 a party's table lacks columns of a model that comes from a step.
    """
    model = facts.inputs.get(PART) or facts.everyone("boosting.model")
    table = {}
    for party, held in facts.inputs["table"].items():
        expect_columns(model[party], held, party, f"steps.{facts.step}")
        table[party] = replace(held, columns=model[party].columns)
    return Terms(outputs={"model": model, "table": table})


def check(own: OwnFacts, parameters: RegisteredModelParameters) -> None:
    """Hold this party's part of the model against its table and the other parties.

    Errors: ATL-REG-… no such model here, ATL-REG-010 another party's, ATL-MOD-002 trained with
    other parties, ATL-MOD-003 a column of the training is missing.
    """
    if PART in own.inputs:
        return
    part = own.part(parameters.model, parameters.version)
    _check_owner(part, own.party, parameters.model)
    if not _fits(part, own.roles):
        raise UserError(
            "ATL-MOD-002",
            "the model was trained with other parties or roles",
            place=parameters.model,
            hint="name the parties of its training, each in the role that it had",
        )
    model = ArtifactFacts("boosting.model", columns=part.columns)
    expect_columns(model, own.inputs["table"], own.party, f"steps.{own.step}")


REGISTERED_MODEL = Component(
    name="model",
    version="1",
    parameters=RegisteredModelParameters,
    run=run,
    roles=EVERYBODY,
    edges=NOBODY,
    describe=describe,
    check=check,
    sources=("atoll.components.registered", "atoll.models.boosting"),
    inputs={
        "table": Port("table", purpose=Purpose.TEST, everywhere=True),
        PART: Port("boosting.model", optional=True, purpose=Purpose.MODEL, everywhere=True),
    },
    outputs={"model": "boosting.model", "table": "table"},
    rows={"table": ("table", "all")},
)
