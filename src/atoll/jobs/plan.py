"""A plan: a job with everything settled that a party must know before it agrees."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from atoll.core import codec
from atoll.core.errors import InternalError
from atoll.core.exposure import Exposure
from atoll.core.limits import Limits
from atoll.core.names import Seat, addresses, parse_seat, party_of
from atoll.core.strict import printable
from atoll.core.work import Work
from atoll.jobs.audience import hidden_steps
from atoll.jobs.definition import Frozen, Job
from atoll.jobs.participation import Edges

_LATER = (
    "seats",
    "edges",
    "quorum",
    "exposure",
    "costs",
    "standing",
    "hidden",
    "audience",
    "rows",
    "columns",
    "attempts",
    "time_limits",
    "platform",
    "model_parts",
)
# What depends on the facts of tables, by step; the rest is the same whatever a party is sent.
_BY_STEP = (
    "implementations",
    "trust_models",
    "reveals",
    "minimums",
    "estimated_bytes",
    "exposure",
    "costs",
    "standing",
    "rows",
    "columns",
)
STEP_PART = "steps."
DIGEST = r"[0-9a-f]{64}"
# The day of an agreement's end, as ISO 8601 writes it.
DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

# What a party declares and people are shown. Names of tables and columns were never longer.
Shown = Annotated[str, Field(max_length=256), AfterValidator(printable)]


class TableFacts(Frozen):
    """What a party sends of a table: a commitment to it, size and columns, but no value.

    ``digest`` is its commitment for this job (``jobs.commitment``), not the content's digest; that
    only its owner knows. In what is declared at home alone it is the content's.
    ``salt`` (32 bytes in hexadecimal) goes with facts that not all parties are sent: without it
    no one can try values against the digest of what follows from them.
    """

    name: Shown
    digest: Shown
    rows: int = Field(ge=0)
    columns: Annotated[tuple[Shown, ...], Field(max_length=Limits.columns)]
    label: Shown | None = None
    id_rule: Shown
    salt: str | None = Field(default=None, pattern=f"^{DIGEST}$")

    @model_serializer(mode="wrap")
    def _plain(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Facts without a salt keep the form under which they were signed before there were any.
        made: dict[str, Any] = whole(self)
        return {name: value for name, value in made.items() if name != "salt" or value is not None}


class ComponentFacts(Frozen):
    """Which code a step runs: version and the digest of its source files."""

    version: Shown
    code: Shown


class StandingTerms(Frozen):
    """What a step agrees to beyond its job: requests without a plan each, within bounds.

    ``asks`` is the role whose only party may ask. A request costs ``unit``; each party counts at
    most ``per_day`` of them by the UTC date of its own clock, and ``most`` in all, until the end of
    the day ``until`` (UTC). ``model`` and ``version`` name the registered model that is used (empty
    and 0: none), ``columns`` what of each party's table requests use.
    """

    asks: str
    unit: Literal["rows"] = "rows"
    per_day: int = Field(ge=1, lt=1 << 53)
    most: int = Field(ge=1, lt=1 << 53)
    until: str = Field(pattern=DAY)
    model: str = ""
    version: int = Field(default=0, ge=0)
    columns: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @field_validator("until")
    @classmethod
    def _a_day(cls, value: str) -> str:
        date.fromisoformat(value)
        return value


class Plan(Frozen):
    """A job with all defaults, tables, implementations, reveals and owners filled in.

    ``tables`` is by party and step, ``owners`` states which parties keep each output,
    ``party_parameters`` holds the filled parameters of each party of a step where they differ.
    ``seats`` states who takes part in each step (``party:role``), ``edges`` which roles
    communicate with each other there (a step that is not named: all), ``quorum`` how many seats of
    a role must stay where not all must. ``exposure`` states what an attempt of each step exposes
    at most, ``costs`` what work it is; ``rows`` is the most that each seat may bring into a step
    in which seats communicate (one that is not named: not known), ``columns`` how many columns it
    has in a step that opens sums; ``standing`` holds the terms of steps that agree to requests
    after the job. ``attempts`` states how many attempts each step may have in a run,
    ``time_limits`` after how many seconds without progress of a task (``progress_seconds``) or
    without a word of a party (``peer_seconds``) a run is given up.
    ``platform`` is the digest of all that computes besides the components
    (``components.code.platform_digest``), ``model_parts`` holds by party and step the commitments
    to parts of registered models.

    A plan in which not all parties are sent the facts of all tables is of version 2: ``audience``
    states to whom the facts of a step's tables are sent, and ``hidden`` holds the digests of those
    steps that this party does not see (None until it is sent them). Nothing else is in it of these
    but what follows from the job alone: parameters, seats, edges, quorum.
    """

    version: Literal[1, 2] = 1
    job: Job
    parameters: dict[str, dict[str, JsonValue]]
    tables: dict[str, dict[str, TableFacts]]
    components: dict[str, ComponentFacts]
    implementations: dict[str, str]
    trust_models: dict[str, str]
    reveals: dict[str, tuple[dict[str, str], ...]]
    minimums: dict[str, dict[str, int]]
    certificates: dict[str, str]
    estimated_bytes: dict[str, int]
    owners: dict[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()
    party_parameters: dict[str, dict[str, dict[str, JsonValue]]] = Field(default_factory=dict)
    seats: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    edges: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    quorum: dict[str, dict[str, int]] = Field(default_factory=dict)
    exposure: dict[str, tuple[Exposure, ...]] = Field(default_factory=dict)
    costs: dict[str, tuple[Work, ...]] = Field(default_factory=dict)
    standing: dict[str, StandingTerms] = Field(default_factory=dict)
    audience: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    hidden: dict[str, str | None] = Field(default_factory=dict)
    rows: dict[str, dict[str, int]] = Field(default_factory=dict)
    columns: dict[str, dict[str, int]] = Field(default_factory=dict)
    attempts: dict[str, int] = Field(default_factory=dict)
    time_limits: dict[str, float] = Field(default_factory=dict)
    platform: str = ""
    model_parts: dict[str, dict[str, str]] = Field(default_factory=dict)

    def limited(self, attempts: Mapping[str, int], seconds: Mapping[str, float]) -> Plan:
        """Return the plan with the attempts and time limits that its job was proposed with."""
        return self._with(attempts=dict(attempts), time_limits=dict(seconds))

    def with_model_parts(self, parts: Mapping[str, Mapping[str, str]]) -> Plan:
        """Return the plan with the commitments to parts of models, by party and step."""
        held = {party: dict(steps) for party, steps in sorted(parts.items()) if steps}
        return self._with(model_parts=held)

    def _with(self, **fields: Any) -> Plan:
        made = self.model_copy(update=fields)
        for name in ("_parts", "_digest"):
            made.__dict__.pop(name, None)  # A copy takes over what was worked out before.
        return made

    def seats_of(self, step: str) -> tuple[Seat, ...]:
        """Return the seats of a step; what every job does besides its steps has none."""
        return tuple(parse_seat(text) for text in self.seats.get(step, ()))

    def peers_of(self, step: str, party: str) -> frozenset[str]:
        """Return the other parties that a party's seats communicate with in a step."""
        if step not in self.seats:
            return frozenset(self.job.parties.keys() - {party})
        edges, roles = Edges.of_plain(self.edges.get(step)), addresses(self.seats_of(step))
        mine = [address for address in roles if party_of(address) == party]
        found = {party_of(peer) for address in mine for peer in edges.peers(address, roles)}
        return frozenset(found - {party})

    def parties_of(self, step: str) -> frozenset[str]:
        """Return the parties that take part in a step, or in what every job does besides."""
        if step not in self.seats:
            return frozenset(self.job.parties)
        return frozenset(text.partition(":")[0] for text in self.seats[step])

    def canonical(self) -> dict[str, Any]:
        """Return the plain form that is hashed and signed."""
        # Plans from before these were in them keep the digest under which they were signed.
        absent = {name for name in _LATER if not getattr(self, name)}
        whole = self.model_dump(mode="json", exclude={"job", *absent})
        return {**whole, "job": self.job.canonical()}

    @property
    def complete(self) -> bool:
        """Whether the digests of all hidden steps are known, and so the plan's."""
        return None not in self.hidden.values()

    def hidden_from(self, party: str) -> frozenset[str]:
        """Return the steps that a party does not see."""
        return self._hidden_by_party.get(party, frozenset())

    @functools.cached_property
    def _hidden_by_party(self) -> dict[str, frozenset[str]]:
        # Asked for at every event of a job, for every party.
        if not self.audience:
            return {}
        return {party: hidden_steps(self.job, self.audience, party) for party in self.job.parties}

    def step_salt(self, step: str) -> str:
        """Return what only those who see a step know of it: a digest of all salts that reach it."""
        above, waiting = set[str](), [step]
        while waiting:
            above.add(waiting[-1])
            waiting += self.job.steps[waiting.pop()].sources() - above
        salts = {
            at: {party: held[at].salt for party, held in self.tables.items() if at in held}
            for at in above
        }
        return codec.digest(["atoll/step-salt/v1", salts])

    @functools.cached_property
    def _parts(self) -> dict[str, str]:
        whole = self.canonical()
        if self.version == 1:
            return {name: codec.digest(value) for name, value in whole.items()}
        steps = {
            name: self._step(whole, name) for name in self.job.steps if name not in self.hidden
        }
        common = {name: value for name, value in whole.items() if name not in ("tables", "hidden")}
        for name in (*_BY_STEP, "owners"):
            if name in ("rows", "columns"):
                # All of them are in the steps' parts, and earlier plans had none of them.
                common.pop(name, None)
                continue
            kept = common.get(name, {}).items()
            common[name] = {at: v for at, v in kept if at.partition(".")[0] not in self.job.steps}
        common["warnings"] = [text for text in self.warnings if self._about(text) is None]
        parts = {**common, **{STEP_PART + name: value for name, value in steps.items()}}
        return {name: codec.digest(value) for name, value in parts.items()}

    def _step(self, whole: Mapping[str, Any], step: str) -> dict[str, Any]:
        """Return all that depends on facts of tables in a step."""
        tables, owners = whole["tables"], whole["owners"]
        return {
            "salt": self.step_salt(step),
            "tables": {party: held[step] for party, held in tables.items() if step in held},
            "owners": {at: who for at, who in owners.items() if at.partition(".")[0] == step},
            "warnings": [text for text in self.warnings if self._about(text) == step],
            **{name: whole[name][step] for name in _BY_STEP if step in whole.get(name, {})},
        }

    def _about(self, warning: str) -> str | None:
        """Return the step that a warning is about; None if it is about the whole job."""
        name = warning.partition(": ")[0]
        return name if name in self.job.steps else None

    def parts(self) -> dict[str, str]:
        """Return the digest of each part that this party sees, so that a difference can be named.

        Version 1: of each field. Version 2: of what is common in each field, and of each step.
        """
        return dict(self._parts)

    def digest(self) -> str:
        """Return the plan's digest (SHA-256, hexadecimal): the same at all parties of the job.

        Errors: ATL-INT-001 the digest of a hidden step is not known yet.
        """
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        # A node asks for it at every task; a plan never changes.
        if self.version == 1:
            return codec.digest(["atoll/plan/v1", self.canonical()])
        if not self.complete:
            raise InternalError("ATL-INT-001", "a plan without the digests of its hidden steps")
        hidden = {STEP_PART + step: digest for step, digest in self.hidden.items()}
        return codec.digest(["atoll/plan/v2", {**self._parts, **hidden}])


def differing(mine: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Return the names of my parts whose digests the other does not share, in order."""
    return sorted(name for name in mine if mine[name] != theirs.get(name))
