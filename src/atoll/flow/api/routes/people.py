"""Users and their tokens, the audit log and the leakage ledger."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path

from atoll.flow.access import Token, User
from atoll.flow.api import views
from atoll.flow.api.common import PAGE, After, Limit, UserName
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes
from atoll.flow.api.shaping import items, paged, shape

ROUTES = Routes("people")
TokenId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
DAYS = 90.0


def _user(user: User) -> dict[str, Any]:
    return user.to_dict()


@ROUTES.get("/users", may="user.read")
def list_users(
    services: At,
    by: By,
    limit: Limit = PAGE,
    after: After = None,
) -> views.UserPage:
    """Return users by name."""
    found = services.access.users(by, after=after, limit=limit)
    return items(views.UserPage, (_user(user) for user in found.rows), next=found.next)


@ROUTES.post("/users", may="user.write", secret=True, recorded=True, status_code=201)
def add_user(services: At, by: By, asked: views.UserRequest) -> views.NewUser:
    """Add a user, who must change the password at the first login; needs user.read, too."""
    # The answer shows the user: whoever may not see it must not learn so after the fact.
    services.access.require(by, "user.read", asked.name)
    generated = services.access.add_user(by, asked.name, asked.roles, asked.password)
    user = services.access.user(by, asked.name)
    return shape(views.NewUser, _user(user) | {"password": generated})


@ROUTES.patch("/users/{name}", may="user.write", recorded=True)
def change_user(
    services: At, by: By, name: UserName, asked: views.PatchUserRequest
) -> views.UserView:
    """Change roles, lock out or let in, set another password; absent fields stay."""
    services.access.user(by, name)
    if asked.roles is not None:
        services.access.set_roles(by, name, asked.roles)
    if asked.password is not None:
        services.access.reset_password(by, name, asked.password)
    if asked.disabled is not None:
        services.access.set_disabled(by, name, asked.disabled)
    return shape(views.UserView, _user(services.access.user(by, name)))


@ROUTES.delete("/users/{name}", may="user.write", recorded=True, status_code=204)
def remove_user(services: At, by: By, name: UserName) -> None:
    """Remove a user with all tokens."""
    services.access.remove_user(by, name)


def _token(token: Token) -> dict[str, Any]:
    return token.to_dict()


@ROUTES.get("/tokens", may="token.write")
def list_tokens(services: At, by: By) -> views.TokenPage:
    """Return the asking user's sessions and tokens, without their secrets."""
    return items(views.TokenPage, (_token(token) for token in services.access.tokens(by)))


@ROUTES.post("/tokens", may="token.write", secret=True, recorded=True, status_code=201)
def add_token(services: At, by: By, asked: views.TokenRequest) -> views.NewToken:
    """Make a token of the asking user; its secret is shown once."""
    scopes = by.permissions if asked.scopes is None else asked.scopes
    secret, token = services.access.create_token(by, asked.name, scopes, days=asked.days or DAYS)
    return shape(views.NewToken, _token(token) | {"token": secret})


@ROUTES.delete("/tokens/{id}", may="token.write", recorded=True, status_code=204)
def remove_token(services: At, by: By, id: TokenId) -> None:
    """Revoke a token or session."""
    services.access.revoke_token(by, id)


@ROUTES.get("/audit", may="audit.read")
def audit(services: At, limit: Limit = PAGE, after: After = None) -> views.AuditPage:
    """Return lines of the audit log, the oldest first."""
    return paged(views.AuditPage, services.access.audit.page(after, limit))


@ROUTES.get("/ledger", may="ledger.read")
def ledger(services: At, limit: Limit = PAGE, after: After = None) -> views.LedgerPage:
    """Return lines of the leakage ledger, the oldest first."""
    return paged(views.LedgerPage, services.ledger.page(after, limit))
