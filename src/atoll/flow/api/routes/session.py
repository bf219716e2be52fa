"""Logging in and out, and who one is."""

from __future__ import annotations

from fastapi import Request, Response

from atoll.flow.api import cookies, views
from atoll.flow.api.clients import client_of
from atoll.flow.api.endpoints import OWN, PUBLIC
from atoll.flow.api.exchange import HttpExchange
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes
from atoll.flow.api.shaping import shape

ROUTES = Routes("session")


@ROUTES.post("/login", may=PUBLIC, body="small", secret=True, recorded=True)
def login(services: At, request: Request, asked: views.LoginRequest) -> views.LoginAnswer:
    """Trade a name and a password for a bearer token."""
    token, expires = services.access.login(asked.user, asked.password, client=client_of(request))
    return views.LoginAnswer(token=token, expires=expires)


@ROUTES.post("/session", may=PUBLIC, body="small", secret=True, recorded=True)
def open_(
    services: At, request: Request, response: Response, asked: views.LoginRequest
) -> views.SessionAnswer:
    """Trade a name and a password for a browser's session: a cookie and a CSRF token."""
    cookies.check_origin(request)
    client = client_of(request)
    secret, expires = services.access.login(asked.user, asked.password, client=client, browser=True)
    cookies.set_cookie(request, response, secret)
    return views.SessionAnswer(csrf=cookies.csrf_token(secret), expires=expires)


@ROUTES.post("/logout", may=OWN, recorded=True, status_code=204)
def logout(services: At, by: By, request: Request, response: Response) -> None:
    """End the session, or revoke the token, that was sent."""
    services.access.logout(by)
    if HttpExchange.of(request.scope).by_cookie:
        cookies.clear(request, response)


@ROUTES.get("/me", may=OWN)
def me(by: By, request: Request) -> views.Me:
    """Return the asking user, and a browser's session its CSRF token."""
    secret = cookies.read(request) if HttpExchange.of(request.scope).by_cookie else None
    return shape(
        views.Me,
        {
            "user": by.user,
            "roles": sorted(by.roles),
            "permissions": sorted(by.permissions),
            "must_change": by.must_change,
            "csrf": None if secret is None else cookies.csrf_token(secret),
        },
    )


@ROUTES.put("/me/password", may=OWN, recorded=True, status_code=204)
def password(services: At, by: By, request: Request, asked: views.PasswordRequest) -> None:
    """Change the own password; the user's other sessions end, and all tokens but those kept."""
    client = client_of(request)
    services.access.change_password(by, asked.current, asked.new, keep=asked.keep, client=client)
