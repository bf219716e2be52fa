"""Brings each party's part of a registered model into a job, and the rows as that model knows them.

Columns are taken by name and in the order of the training, never by position.
"""

from __future__ import annotations

from pydantic import Field

from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.components.unused import unused_report
from atoll.core.errors import UserError
from atoll.jobs.definition import Frozen
from atoll.jobs.schema import Port, Purpose
from atoll.models.boosting import match_columns

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
    if part.party != task.party.name:
        raise UserError(
            "ATL-REG-010",
            "the registered part belongs to another party",
            place=parameters.model,
            hint="migrate the model to this party's id",
        )
    unused = match_columns(part.columns, table.columns).unused
    outputs = {"model": part, "table": table.select(part.columns)}
    return Result(outputs, report=unused_report("Model", unused))


def describe(facts: Facts, parameters: RegisteredModelParameters) -> Terms:
    """Nothing is sent."""
    everyone = tuple(facts.roles)
    return Terms(owners={"model": everyone, "table": everyone})


REGISTERED_MODEL = Component(
    name="model",
    version="1",
    parameters=RegisteredModelParameters,
    run=run,
    describe=describe,
    sources=("atoll.components.registered", "atoll.models.boosting"),
    inputs={
        "table": Port("table", purpose=Purpose.TEST),
        PART: Port("boosting.model", optional=True, purpose=Purpose.MODEL),
    },
    outputs={"model": "boosting.model", "table": "table"},
)
