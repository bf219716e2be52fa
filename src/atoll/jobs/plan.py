"""A plan: a job with everything settled that a party must know before it agrees."""

from __future__ import annotations

import functools
from typing import Any, Literal, Self

from pydantic import Field, JsonValue

from atoll.core import codec
from atoll.jobs.definition import Frozen, Job


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


class Plan(Frozen):
    """A job with all defaults, tables, implementations, reveals and owners filled in.

    ``tables`` is by party and step, ``owners`` says which parties keep each output,
    ``party_parameters`` holds the filled parameters of each party of a step where they differ.
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

    def canonical(self) -> dict[str, Any]:
        """Return the plain form that is hashed and signed."""
        return {**self.model_dump(mode="json", exclude={"job"}), "job": self.job.canonical()}

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

    def __copy__(self) -> Self:
        # A copy may be about to get other values.
        copied = super().__copy__()
        copied.__dict__.pop("_digest", None)
        return copied


def differing(mine: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Return the names of my parts whose digests the other does not share, in order."""
    return sorted(name for name in mine if mine[name] != theirs.get(name))
