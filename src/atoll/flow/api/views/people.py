"""Users, tokens, the audit log and the ledger."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from atoll.flow.api.views.base import LINE, Asked, Given, Line, RoleName, TokenText, UserName


class UserRequest(Asked):
    """A new user; without a password one is made, and shown once."""

    name: UserName
    password: str | None = Field(default=None, max_length=1024)
    roles: Annotated[tuple[RoleName, ...], Field(max_length=6)] = ()


class PatchUserRequest(Asked):
    """What is changed of a user; absent fields stay."""

    password: str | None = Field(default=None, max_length=1024)
    roles: Annotated[tuple[RoleName, ...], Field(max_length=6)] | None = None
    disabled: bool | None = Field(default=None, strict=True)


class UserView(Given):
    """A user."""

    name: UserName
    roles: tuple[str, ...]
    disabled: bool = False
    must_change: bool = False
    locked_until: float | None = None
    created: float = 0.0


class NewUser(UserView):
    """A new user, with the password where it was made here."""

    password: str | None = None


class UserPage(Given):
    """A page of users."""

    items: tuple[UserView, ...]
    next: str | None = None


class TokenRequest(Asked):
    """A new token of the asking user; ``scopes`` are permissions (none: all of the user's)."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=LINE)]
    scopes: Annotated[tuple[Line, ...], Field(max_length=64)] | None = None
    days: float | None = Field(default=None, strict=True, gt=0, le=3650)


class TokenView(Given):
    """A token, but not its secret."""

    id: str
    name: str
    user: str
    scopes: tuple[str, ...] = ()
    session: bool = False
    expires: float
    created: float = 0.0
    used: float | None = None


class NewToken(TokenView):
    """A new token with its secret: shown once."""

    token: TokenText


class TokenPage(Given):
    """A page of tokens."""

    items: tuple[TokenView, ...]
    next: str | None = None


class AuditLine(Given):
    """An entry of the audit log; each holds the hash of the one before."""

    number: int
    time: float
    actor: str
    action: str
    target: str = ""
    outcome: str = ""
    detail: JsonValue = None
    previous: str
    hash: str


class AuditPage(Given):
    """A page of the audit log."""

    items: tuple[AuditLine, ...]
    next: str | None = None


class LedgerLine(Given):
    """An entry of the leakage ledger."""

    number: int
    time: float
    kind: str
    body: JsonValue = None
    previous: str
    hash: str


class LedgerPage(Given):
    """A page of the leakage ledger."""

    items: tuple[LedgerLine, ...]
    next: str | None = None
