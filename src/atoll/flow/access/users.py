"""Users as rows: plain functions over a connection, so that a change and its audit line are one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from atoll.core.errors import UserError
from atoll.flow.access.permissions import ROLES, UserRole
from atoll.flow.store.paging import Page, page
from atoll.flow.store.schema import users
from atoll.jobs.errors import ConflictError, NotFoundError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# What the node itself writes in the place of a user's name.
_RESERVED = frozenset({"anonymous", "local", "policy", "restore", "system"})


@dataclass(frozen=True)
class User:
    """A person with a password. ``locked_until`` is in seconds since 1970."""

    name: str
    roles: frozenset[str]
    disabled: bool = False
    must_change: bool = False
    failures: int = 0
    locked_until: float | None = None
    created: float = 0.0
    password: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what may be shown: everything but the password's hash."""
        return {
            "name": self.name,
            "roles": sorted(self.roles),
            "disabled": self.disabled,
            "must_change": self.must_change,
            "locked_until": self.locked_until,
            "created": self.created,
        }


def check_name(name: str) -> str:
    """Return a name that a user may have. Errors: ATL-ACC-007."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise UserError(
            "ATL-ACC-007",
            "a user's name is 1 to 64 lower-case letters, digits, dots, - or _",
            place="name",
            hint=f"it begins with a letter or digit; taken: {', '.join(sorted(_RESERVED))}",
        )
    return name


def check_roles(roles: Iterable[str]) -> frozenset[str]:
    """Return roles that exist. Errors: ATL-ACC-010."""
    found = frozenset(roles)
    if not found <= frozenset(ROLES):
        raise UserError(
            "ATL-ACC-010", "there is no such role", place="roles", hint=", ".join(ROLES)
        )
    return found


def _user(row: Any) -> User:
    return User(
        name=row.name,
        roles=frozenset(json.loads(row.roles)),
        disabled=bool(row.disabled),
        must_change=bool(row.must_change),
        failures=int(row.failures),
        locked_until=row.locked_until,
        created=row.created,
        password=row.password,
    )


def find(connection: Connection, name: str) -> User | None:
    """Return a user, or None."""
    if not _NAME.fullmatch(name):
        return None
    row = connection.execute(select(users).where(users.c.name == name)).first()
    return None if row is None else _user(row)


def get(connection: Connection, name: str) -> User:
    """Return a user. Errors: ATL-ACC-008."""
    found = find(connection, name)
    if found is None:
        raise NotFoundError("ATL-ACC-008", "there is no such user", place="name")
    return found


def list_page(connection: Connection, after: str | None, limit: int) -> Page[User]:
    """Return a page of users by name."""
    return page(connection, select(users), (users.c.name,), _user, limit=limit, after=after)


def insert_user(connection: Connection, user: User) -> None:
    """Add a user. Errors: ATL-ACC-007 if the name is taken."""
    if find(connection, user.name) is not None:
        raise ConflictError("ATL-ACC-007", "the name is taken", place="name")
    connection.execute(
        insert(users).values(
            name=user.name,
            password=user.password,
            roles=_roles(user.roles),
            disabled=user.disabled,
            must_change=user.must_change,
            failures=0,
            locked_until=None,
            created=user.created,
        )
    )


def change(connection: Connection, name: str, **values: Any) -> None:
    """Set columns of a user; ``roles`` as a set."""
    if "roles" in values:
        values["roles"] = _roles(values["roles"])
    connection.execute(update(users).where(users.c.name == name).values(**values))


def remove(connection: Connection, name: str) -> None:
    """Delete a user's row."""
    connection.execute(delete(users).where(users.c.name == name))


def _roles(roles: Iterable[str]) -> str:
    return json.dumps(sorted(roles))


def any_user(connection: Connection) -> bool:
    """Return whether there is a user at all."""
    return connection.execute(select(users.c.name).limit(1)).first() is not None


def keep_an_administrator(connection: Connection, *, without: str) -> None:
    """Check that an enabled administrator is left when one goes. Errors: ATL-ACC-009."""
    query = select(users.c.name, users.c.roles).where(users.c.disabled.is_(False))
    for row in connection.execute(query):
        if row.name != without and UserRole.ADMINISTRATOR in json.loads(row.roles):
            return
    raise ConflictError(
        "ATL-ACC-009",
        "the last administrator stays",
        place="name",
        hint="make another user administrator first",
    )
