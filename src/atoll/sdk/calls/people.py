"""Calls about users, tokens and who is asking."""

from __future__ import annotations

from collections.abc import Sequence

from atoll.flow.api import views
from atoll.sdk.wire import Call, Request, delete, get, given, path, secret


def login(user: str, password: str) -> Call[views.LoginAnswer]:
    """Get a token for a name and password."""
    body = {"user": user, "password": password}
    return Call(Request("POST", path("login"), body=body, anonymous=True), views.LoginAnswer)


def logout() -> Call[None]:
    """Give the token back."""
    return Call(Request("POST", path("logout"), body={}))


def me() -> Call[views.Me]:
    """Ask who is asking, and what they may do."""
    return get(views.Me, "me")


def password(current: str, new: str, *, keep: Sequence[str] = ()) -> Call[None]:
    """Change the own password; other sessions end, and tokens but those with these names."""
    body = given(current=current, new=new, keep=list(keep) or None)
    return Call(Request("PUT", path("me", "password"), body=body))


def users(*, limit: int | None = None, after: str | None = None) -> Call[views.UserPage]:
    """List users by name, a page at a time."""
    return get(views.UserPage, "users", limit=limit, after=after)


def add(
    name: str, roles: Sequence[str], *, password: str | None = None, key: str | None = None
) -> Call[views.NewUser]:
    """Make a user; without a password one is made and shown once."""
    body = given(name=name, roles=list(roles), password=password)
    return secret(views.NewUser, "users", body=body, key=key)


def change(
    name: str,
    *,
    roles: Sequence[str] | None = None,
    disabled: bool | None = None,
    password: str | None = None,
) -> Call[views.UserView]:
    """Change a user; None leaves a thing as it is."""
    body = given(roles=None if roles is None else list(roles), disabled=disabled, password=password)
    return Call(Request("PATCH", path("users", name), body=body), views.UserView)


def remove(name: str) -> Call[None]:
    """Remove a user."""
    return delete("users", name)


def tokens(*, limit: int | None = None, after: str | None = None) -> Call[views.TokenPage]:
    """List the own tokens, a page at a time."""
    return get(views.TokenPage, "tokens", limit=limit, after=after)


def token(
    name: str,
    *,
    scopes: Sequence[str] | None = None,
    days: float | None = None,
    key: str | None = None,
) -> Call[views.NewToken]:
    """Make a token of one's own; its secret is shown once."""
    body = given(name=name, scopes=None if scopes is None else list(scopes), days=days)
    return secret(views.NewToken, "tokens", body=body, key=key)


def revoke(token: str) -> Call[None]:
    """Withdraw a token by its id."""
    return delete("tokens", token)
