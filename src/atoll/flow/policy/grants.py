"""Grants: what an owner of a table allows a partner to compute on it, and how often."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from atoll.core.errors import UserError
from atoll.core.names import Role, party_id
from atoll.jobs.definition import Frozen

ANY = "*"
MOST_NAMES = 1 << 16

_Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field()]
_Cap = Annotated[Annotated[int, Field(strict=True, ge=0, le=1 << 53)] | None, Field()]


class Caps(Frozen):
    """Caps for each partner, over all its jobs on a table; None does not cap."""

    runs: _Cap = None
    psi_runs: _Cap = None
    tree_nodes: _Cap = None
    opened_sums: _Cap = None
    epsilon: Annotated[float | None, Field(ge=0, le=1e6, allow_inf_nan=False)] = None
    rows: _Cap = None


class TableCaps(Frozen):
    """The caps of a table, whatever is granted or approved by hand: for a partner, or for each.

    ``partner`` is ``*`` for every partner, each by itself.
    """

    data: str
    partner: str = ANY
    caps: Caps = Caps()
    changed_by: str = ""
    changed: float = 0.0


class GrantLimits(Caps):
    """The caps of a grant and what else bounds it.

    ``minimum_group`` is k, the least rows that a sum may stand for. ``reveals`` names the messages
    that may be revealed (``psi.ecdh.tags``, or all of a family: ``psi.*``); None allows what the
    granted components declare.
    """

    minimum_group: Annotated[int, Field(ge=0, le=1 << 53)] = 0
    reveals: Annotated[_Names | None, Field(max_length=256)] = None


class GrantTerms(Frozen):
    """What an owner writes: who may use which columns for what, within which limits.

    ``("*",)`` stands for every partner, column, component or role. ``automatic`` approves without
    a person; otherwise a covered job waits for one. ``expires`` is in seconds since 1970.
    """

    partners: Annotated[_Names, Field(min_length=1, max_length=1024)]
    columns: Annotated[_Names, Field(min_length=1, max_length=MOST_NAMES)] = (ANY,)
    components: Annotated[_Names, Field(min_length=1, max_length=256)]
    roles: Annotated[_Names, Field(min_length=1, max_length=8)] = (ANY,)
    limits: GrantLimits = GrantLimits()
    minimum_intersection: Annotated[int, Field(ge=0, le=1 << 53)] = 20
    automatic: bool = False
    expires: Annotated[float | None, Field(gt=0, le=1e11, allow_inf_nan=False)] = None

    @field_validator("partners")
    @classmethod
    def _partners(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            try:
                _ = name == ANY or party_id(name)
            except UserError as error:
                raise ValueError(error.message) from error
        return value

    @field_validator("roles")
    @classmethod
    def _roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = set(value) - {ANY, *(role.value for role in Role)}
        if unknown:
            raise ValueError("a role is guest, host, arbiter, aggregator, client or *")
        return value


class Grant(GrantTerms):
    """Terms on one table, with where they come from. ``revoked`` ends them for good."""

    id: str
    data: str
    created_by: str = ""
    created: float = 0.0
    revoked: float | None = None

    def live(self, now: float) -> bool:
        """Return whether it holds at ``now`` (seconds since 1970)."""
        return self.revoked is None and (self.expires is None or now < self.expires)


def parse_terms(value: Any) -> GrantTerms:
    """Make terms of their plain form. Errors: ATL-POL-011 of another shape."""
    try:
        return GrantTerms.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(
            "ATL-POL-011", f"not a grant: {first['msg']}", place=place or None
        ) from error


def matches(names: tuple[str, ...], name: str) -> bool:
    """Return whether a list of names, or its ``*``, covers ``name``."""
    return ANY in names or name in names
