"""Logging in and out, and who one is."""

from __future__ import annotations

from fastapi import Request

from atoll.flow.api import views
from atoll.flow.api.common import router
from atoll.flow.api.guard import At, By, client_of
from atoll.flow.api.shaping import shape

ROUTER = router("session")


@ROUTER.post("/login")
def login(services: At, request: Request, asked: views.LoginRequest) -> views.LoginAnswer:
    """Trade a name and a password for a bearer token."""
    token, expires = services.access.login(asked.user, asked.password, client=client_of(request))
    return views.LoginAnswer(token=token, expires=expires)


@ROUTER.post("/logout", status_code=204)
def logout(services: At, by: By) -> None:
    """End the session, or revoke the token, that was sent."""
    services.access.logout(by)


@ROUTER.get("/me")
def me(by: By) -> views.Me:
    """Return the asking user."""
    return shape(
        views.Me,
        {
            "user": by.user,
            "roles": sorted(by.roles),
            "permissions": sorted(by.permissions),
            "must_change": by.must_change,
        },
    )


@ROUTER.put("/me/password", status_code=204)
def password(services: At, by: By, request: Request, asked: views.PasswordRequest) -> None:
    """Change the own password; other sessions of the user end."""
    client = client_of(request)
    services.access.change_password(by, asked.current, asked.new, client=client)
