"""Who may use a node: users, passwords, tokens, roles and permissions, and the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atoll.core.lazy import lazily

if TYPE_CHECKING:
    from atoll.flow.access.actors import SYSTEM, Actor
    from atoll.flow.access.audit import AuditLog
    from atoll.flow.access.authenticator import AccessSettings, Login
    from atoll.flow.access.errors import ThrottledError, UnauthenticatedError
    from atoll.flow.access.passwords import Passwords
    from atoll.flow.access.permissions import (
        PERMISSIONS,
        ROLES,
        PermissionTable,
        UserRole,
        permissions_of,
    )
    from atoll.flow.access.service import Access, local_actor
    from atoll.flow.access.tokens import Token
    from atoll.flow.access.users import User

__all__ = [
    "PERMISSIONS",
    "ROLES",
    "SYSTEM",
    "Access",
    "AccessSettings",
    "Actor",
    "AuditLog",
    "Login",
    "Passwords",
    "PermissionTable",
    "ThrottledError",
    "Token",
    "UnauthenticatedError",
    "User",
    "UserRole",
    "local_actor",
    "permissions_of",
]

# A class that a client shows must not bring the database with it.
__getattr__ = lazily(
    __name__,
    {
        "Access": "service",
        "AccessSettings": "authenticator",
        "Actor": "actors",
        "AuditLog": "audit",
        "Login": "authenticator",
        "PERMISSIONS": "permissions",
        "Passwords": "passwords",
        "PermissionTable": "permissions",
        "ROLES": "permissions",
        "SYSTEM": "actors",
        "ThrottledError": "errors",
        "Token": "tokens",
        "UnauthenticatedError": "errors",
        "User": "users",
        "UserRole": "permissions",
        "local_actor": "service",
        "permissions_of": "permissions",
    },
)
