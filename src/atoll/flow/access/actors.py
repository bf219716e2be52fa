"""An actor: who is asking, as far as a permission is concerned."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from atoll.flow.access.permissions import PERMISSIONS, PermissionTable, permissions_of


@dataclass(frozen=True)
class Actor:
    """A person (or program with a person's token) whose token was checked.

    ``scopes`` are the permissions that the token may use (None: all); ``token`` is its id,
    ``session``: it came from a login. With ``must_change`` only the password may be
    changed. ``table`` states what roles may do at this node.
    """

    user: str
    roles: frozenset[str]
    scopes: frozenset[str] | None = None
    token: str = ""
    session: bool = True
    must_change: bool = False
    expires: float = 0.0
    table: PermissionTable = field(default_factory=lambda: PERMISSIONS, compare=False, repr=False)

    @cached_property
    def permissions(self) -> frozenset[str]:
        """What the actor may do: what its roles may, as far as the token's scopes go."""
        held = permissions_of(self.roles, self.table)
        return held if self.scopes is None else held & self.scopes

    def allows(self, permission: str) -> bool:
        """Return whether the actor may do this."""
        return not self.must_change and permission in self.permissions


SYSTEM = Actor("system", frozenset())
"""The node itself, where no one asked; for the audit log, it holds no permission."""
