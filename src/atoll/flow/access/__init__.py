"""Who may use a node: users, passwords, tokens, roles and permissions, and the audit log."""

from __future__ import annotations

from atoll.flow.access.actors import SYSTEM, Actor
from atoll.flow.access.errors import ThrottledError, UnauthenticatedError
from atoll.flow.access.permissions import PERMISSIONS, ROLES, UserRole, permissions_of

__all__ = [
    "PERMISSIONS",
    "ROLES",
    "SYSTEM",
    "Actor",
    "ThrottledError",
    "UnauthenticatedError",
    "UserRole",
    "permissions_of",
]
