"""Who may do what: a literal table, and nothing else decides.

A permission is ``thing.action``. Roles are sets of permissions; a person may hold several roles,
and a token may hold fewer permissions (scopes) than its person, never more. What a node mounts
beside its own API may bring permissions of its own: the node's table then has more rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class UserRole(StrEnum):
    """What a person is at a node. (A party's role in a job is ``atoll.core.names.Role``.)"""

    VIEWER = "viewer"
    MODELLER = "modeller"
    DATA_OWNER = "data owner"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


ROLES: tuple[str, ...] = tuple(role.value for role in UserRole)

_VIEWER, _MODELLER, _OWNER = UserRole.VIEWER, UserRole.MODELLER, UserRole.DATA_OWNER
_APPROVER, _AUDITOR, _ADMINISTRATOR = UserRole.APPROVER, UserRole.AUDITOR, UserRole.ADMINISTRATOR
_ALL = frozenset(UserRole)

PermissionTable = Mapping[str, frozenset[UserRole]]

PERMISSIONS: PermissionTable = {
    "job.read": _ALL,
    "job.submit": frozenset({_MODELLER}),
    "job.stop": frozenset({_MODELLER, _OWNER, _APPROVER, _ADMINISTRATOR}),
    "job.approve": frozenset({_APPROVER}),
    "report.read": frozenset({_VIEWER, _MODELLER, _OWNER, _APPROVER}),
    "artifact.read": frozenset({_MODELLER, _OWNER}),
    "data.read": _ALL,
    "data.write": frozenset({_OWNER}),
    "data.grant": frozenset({_OWNER}),
    "data.preview": frozenset({_OWNER}),
    "model.read": _ALL,
    "model.write": frozenset({_MODELLER}),
    "model.publish": frozenset({_MODELLER, _APPROVER}),
    "agreement.read": _ALL,
    "agreement.ask": frozenset({_MODELLER}),
    "agreement.end": frozenset({_MODELLER, _OWNER, _APPROVER, _ADMINISTRATOR}),
    "party.read": _ALL,
    "party.write": frozenset({_ADMINISTRATOR}),
    "component.read": _ALL,
    "component.approve": frozenset({_ADMINISTRATOR}),
    "user.read": frozenset({_AUDITOR, _ADMINISTRATOR}),
    "user.write": frozenset({_ADMINISTRATOR}),
    "token.write": _ALL,
    "audit.read": frozenset({_AUDITOR, _ADMINISTRATOR}),
    "ledger.read": frozenset({_OWNER, _APPROVER, _AUDITOR, _ADMINISTRATOR}),
    "settings.read": frozenset({_AUDITOR, _ADMINISTRATOR}),
    "metrics.read": frozenset({_AUDITOR, _ADMINISTRATOR}),
    "admin": frozenset({_ADMINISTRATOR}),
}


def permissions_of(roles: Iterable[str], table: PermissionTable = PERMISSIONS) -> frozenset[str]:
    """Return what these roles may do together; an unknown role adds nothing."""
    held = frozenset(roles)
    return frozenset(name for name, allowed in table.items() if held & allowed)
