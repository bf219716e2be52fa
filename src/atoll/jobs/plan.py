"""A plan: a job with everything settled that a party must know before it agrees."""

from __future__ import annotations

import functools
from datetime import date
from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator

from atoll.core import codec
from atoll.core.exposure import Exposure
from atoll.core.names import Seat, addresses, parse_seat, party_of
from atoll.core.work import Work
from atoll.jobs.definition import Frozen, Job
from atoll.jobs.participation import Edges

_LATER = ("seats", "edges", "quorum", "exposure", "costs", "standing")
# The day of an agreement's end, as ISO 8601 writes it.
DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


class TableFacts(Frozen):
    """What a party tells of a table: its digest, size and columns, but no value."""

    name: str
    digest: str
    rows: int = Field(ge=0)
    columns: tuple[str, ...]
    label: str | None = None
    id_rule: str


class ComponentFacts(Frozen):
    """Which code a step runs: version and the digest of its source files."""

    version: str
    code: str


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

    ``tables`` is by party and step, ``owners`` says which parties keep each output,
    ``party_parameters`` holds the filled parameters of each party of a step where they differ.
    ``seats`` says who takes part in each step (``party:role``), ``edges`` which roles talk to each
    other there (a step that is not named: all), ``quorum`` how many seats of a role must stay where
    not all must. ``exposure`` says what an attempt of each step exposes at most, ``costs`` what
    work it is; ``standing`` holds the terms of steps that agree to requests after the job.
    """

    version: Literal[1] = 1
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

    def seats_of(self, step: str) -> tuple[Seat, ...]:
        """Return the seats of a step; what every job does besides its steps has none."""
        return tuple(parse_seat(text) for text in self.seats.get(step, ()))

    def peers_of(self, step: str, party: str) -> frozenset[str]:
        """Return the other parties that a party's seats talk to in a step."""
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
        # Plans from before these were told keep the digest under which they were signed.
        absent = {name for name in _LATER if not getattr(self, name)}
        whole = self.model_dump(mode="json", exclude={"job", *absent})
        return {**whole, "job": self.job.canonical()}

    def parts(self) -> dict[str, str]:
        """Return the digest of each top-level part, so that a difference can be named."""
        return {name: codec.digest(value) for name, value in self.canonical().items()}

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form, in hexadecimal."""
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        # A node asks for it at every task; a plan never changes.
        return codec.digest(["atoll/plan/v1", self.canonical()])


def differing(mine: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Return the names of my parts whose digests the other does not share, in order."""
    return sorted(name for name in mine if mine[name] != theirs.get(name))
