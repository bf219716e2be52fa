"""The terms of a population: one canonical document that its clients sign and are held to.

A client counts for itself by ``tasks_per_day``, ``tasks`` and ``until``; what it is asked beyond
them it refuses, whatever the aggregator claims.
"""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.core.names import party_id
from atoll.core.strict import printable
from atoll.learning.horizontal.conditions import Eligibility
from atoll.learning.horizontal.parties.parameters import HorizontalParameters

TERMS_BYTES = 256 << 10
MOST_COLUMNS = 1 << 12
# Updates of these depend on nothing that a client keeps from one task to the next.
STATELESS = frozenset({"fedavg", "fedavgm", "fedadam", "fedyogi", "fedprox", "fedsgd", "fednova"})
# Of them, those that may weigh all clients alike.
ALIKE = STATELESS - {"fedsgd", "fednova"}
# Parameters of jobs that nothing here keeps to, and why.
_ABSENT = {
    "privacy": "each client adds the noise that the terms state beside the training (noise, delta)",
    "rule": "updates are added up, and no rule looks for those that differ",
    "poisoned": "updates are added up, and no rule looks for those that differ",
    "compression": "updates travel as they are",
    "compression_share": "updates travel as they are",
    "compression_bits": "updates travel as they are",
    "down_bits": "clients hold no model from one task to the next",
    "evaluate_every": "members evaluate nothing",
}

Column = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(printable)]
Label = Annotated[str, AfterValidator(party_id)]


class PopulationTerms(BaseModel):
    """What members of a population agree to; reading it from outside checks it.

    The aggregator sees each update (noisy with ``noise``), its weight, and of a client's condition
    the parts that ``eligibility`` asks for. It is trusted not to invent clients.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    aggregator: Label = Field(description="the party that runs the population")
    population: Label = Field(description="its name there")
    training: HorizontalParameters = Field(description="what is trained, and how")
    columns: tuple[Column, ...] = Field(
        min_length=1, max_length=MOST_COLUMNS, description="inputs of the model, in order"
    )
    label: Column = Field(description="the column that is learned")
    noise: float | None = Field(
        default=None,
        ge=1e-3,
        le=1e4,
        description="deviation of each client's own noise, in multiples of the clip; empty: none",
    )
    delta: float = Field(default=1e-6, gt=0, le=1e-3, description="of the ε that is stated")
    most_rows: int = Field(
        default=1 << 20, ge=1, le=1 << 40, description="rows of a client that count"
    )
    tasks_per_day: int = Field(default=24, ge=1, le=1 << 20, description="tasks of a day (UTC)")
    tasks: int = Field(default=1000, ge=1, le=1 << 20, description="tasks of a client in all")
    until: date = Field(description="last day (UTC) on which a task may be done")
    eligibility: Eligibility = Eligibility()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.columns)) < len(self.columns) or self.label in self.columns:
            raise ValueError("a column is named twice")
        return self

    def require_possible(self) -> PopulationTerms:
        """Return these terms if a population can keep to them. Errors: ATL-POP-002."""
        training = self.training
        if training.sum == "masked":
            raise _impossible(
                "a secure sum needs keys that someone else than the aggregator vouches for",
                "choose sum: plain, with noise against the aggregator",
            )
        if training.algorithm not in STATELESS:
            raise _impossible(
                f"{training.algorithm} keeps a state at its clients, which may answer too late, or "
                "lets each client state by itself how much all others count",
                f"choose one of {', '.join(sorted(STATELESS))}",
            )
        for name, why in _ABSENT.items():
            if getattr(training, name) != type(training).model_fields[name].default:
                raise _impossible(f"{name} is not for populations: {why}", f"leave out {name}")
        alike = training.weighting == "equal" and training.algorithm in ALIKE
        if self.noise is not None and (training.clip is None or not alike):
            raise _impossible(
                "noise needs a bound on each update, and clients that weigh alike",
                f"add clip and weighting: equal, with one of {', '.join(sorted(ALIKE))}",
            )
        return self

    def document(self) -> bytes:
        """Return the canonical bytes, which are signed."""
        return codec.encode(self.model_dump(mode="json"))

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the document, 32 bytes."""
        return hashlib.sha256(self.document()).digest()

    @property
    def asked_conditions(self) -> frozenset[str]:
        """The parts of a condition that a client shows: those that a rule looks at."""
        rules = self.eligibility.model_dump()
        named = {name for name, value in rules.items() if value not in (0, False, "none")}
        more = {"charging"} if "battery" in named else set()
        return frozenset((named | more) - {"strict"})


def read_terms(document: bytes) -> PopulationTerms:
    """Return the terms of a document. Errors: ATL-POP-001 another form, ATL-POP-002."""
    try:
        value = codec.decode(document, limit=TERMS_BYTES, memory=codec.document_memory(TERMS_BYTES))
        terms = PopulationTerms.model_validate(value)
    except (ValidationError, AtollError) as error:
        raise _unreadable() from error
    # All fields must be there as they were signed: no default of ours fills a gap.
    if terms.document() != document:
        raise _unreadable()
    return terms.require_possible()


def _unreadable() -> UserError:
    return UserError(
        "ATL-POP-001",
        "this is not the document of a population's terms",
        hint="the aggregator may run another version of Atoll",
    )


def _impossible(why: str, hint: str) -> UserError:
    return UserError("ATL-POP-002", f"no population can keep to these terms: {why}", hint=hint)
