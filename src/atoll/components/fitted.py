"""Brings what a transform fitted in a model's training into a job, from each party's registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from atoll.components.api import ArtifactFacts, Component, Facts, OwnFacts, Result, Task, Terms
from atoll.components.references import PART, ModelRef
from atoll.components.registered import (
    KIND,
    MODEL_ID,
    REGISTERED_MODEL,
    RegisteredModelParameters,
    check_owner,
    check_registered,
    no_part,
    stated_kind,
    unknown_kind,
)
from atoll.components.scoring import SCORING, ScoringParameters
from atoll.core.errors import UserError
from atoll.jobs.definition import PARTIES, Frozen, Step
from atoll.jobs.participation import NO_EDGES, OWNERS
from atoll.jobs.schema import Port, Purpose
from atoll.models.kinds import kind_of

PartyName = Annotated[str, Field(max_length=63)]


class FittedParameters(Frozen):
    """Which step of the training of which registered model fitted it."""

    model: str = Field(
        pattern=MODEL_ID, max_length=128, description="the id of the model in the registry"
    )
    version: int = Field(default=1, ge=1, lt=1 << 31, description="the version of the model")
    step: str = Field(
        pattern="^[a-z][a-z0-9_-]{0,62}$", description="the step of the training that fitted it"
    )
    kind: str = Field(
        pattern=KIND,
        max_length=127,
        description="its kind; each party compares it with its own part",
    )
    parties: tuple[PartyName, ...] = Field(
        default=(), max_length=PARTIES, description="the parties that hold a part; empty: all"
    )

    def reference(self, party: str) -> ModelRef | None:
        """Return what a party's node hands in; None where the party holds none."""
        if self.parties and party not in self.parties:
            return None
        return ModelRef(self.model, self.version, self.step)


def run(task: Task, parameters: FittedParameters) -> Result:
    """Hand on the part that the node took from its registry.

    Errors: ATL-REG-010 no registry here, or the part is another party's; ATL-MOD-005 a kind that
    is not known here.
    """
    party, part = task.party.name, task.inputs.get(PART)
    if part is None:
        # A step that is wired here gave this party nothing, or it holds none.
        if PART in task.inputs or parameters.reference(party) is None:
            return Result()
        raise no_part(parameters.model)
    kind = kind_of(part, task.kinds)
    if kind is None:
        raise unknown_kind(parameters.kind)
    check_owner(kind, part, party, parameters.model)
    return Result({"fitted": part})


def describe(facts: Facts, parameters: FittedParameters) -> Terms:
    """Nothing is sent. Errors: ATL-MOD-002 a party that is not in the job, ATL-MOD-005 its kind."""
    for party in parameters.parties:
        if party not in facts.roles:
            raise UserError(
                "ATL-MOD-002",
                "it was fitted by a party that is not in this job",
                place="parameters.parties",
            )
    named = parameters.parties or sorted(facts.roles)
    wired = facts.inputs.get(PART)
    if wired is None:
        kind = stated_kind(parameters.kind, "transform", facts.kinds)
        held = {party: ArtifactFacts(kind) for party in named}
    else:
        # Who is not named takes no part, even if it is given something here.
        held = {party: found for party, found in wired.items() if party in named}
    return Terms(outputs={"fitted": held})


def check(own: OwnFacts, parameters: FittedParameters) -> None:
    """Look this party's part up. Errors: ATL-REG-…, those of ``check_registered``."""
    reference = parameters.reference(own.party)
    if PART in own.inputs or reference is None:
        return
    check_registered(own, own.part(reference), parameters.kind, parameters.model)


FITTED = Component(
    name="fitted",
    version="1",
    parameters=FittedParameters,
    run=run,
    roles=OWNERS,
    takes_part=lambda party, parameters: parameters.reference(party) is not None,
    edges=NO_EDGES,
    describe=describe,
    check=check,
    sources=("atoll.components.registered", "atoll.models"),
    inputs={PART: Port("transform", optional=True, purpose=Purpose.MODEL)},
    outputs={"fitted": "transform"},
)

_REFERRING: Mapping[str, type[FittedParameters | RegisteredModelParameters]] = {
    REGISTERED_MODEL.name: RegisteredModelParameters,
    FITTED.name: FittedParameters,
    SCORING.name: ScoringParameters,
}


def reference_of(step: Step, parameters: Mapping[str, Any], party: str) -> ModelRef | None:
    """Return what a party's node hands to a step out of its registry; None: nothing."""
    known = _REFERRING.get(step.component)
    if known is None or PART in step.inputs:
        return None
    return known.model_validate(dict(parameters)).reference(party)
