"""Sessions of browsers: a cookie that no script can read, and what proves that our page asks.

A browser sends its cookies along whoever made it ask. Requests that may change something therefore
also carry a token that only a page of ours can know (``CSRF``): it follows from the cookie's
secret, which is sent to no one, so nothing more is stored and it ends with the session.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from fastapi import Request, Response

from atoll.flow.api.endpoints import SAFE
from atoll.flow.api.settings import PREFIX, ApiSettings, is_loopback
from atoll.jobs.errors import DeniedError

CSRF = "X-CSRF-Token"
_NAME = "atoll-session"


def name_of(settings: ApiSettings, port: int) -> str:
    """Return the cookie's name. Browsers separate hosts, not ports: each node has its own."""
    return f"{'__Secure-' if settings.secure else ''}{_NAME}-{port}"


def _name(request: Request) -> str:
    server = request.scope.get("server") or ("", 0)
    return name_of(request.app.state.settings, server[1])


def read(request: Request) -> str | None:
    """Return the secret of the session that a browser sent, if it sent one."""
    return request.cookies.get(_name(request))


def set_cookie(request: Request, response: Response, secret: str) -> None:
    """Let the browser keep a session until it is closed; the node ends it earlier."""
    _set(request, response, secret, None)


def clear(request: Request, response: Response) -> None:
    """Let the browser forget its session."""
    _set(request, response, "", 0)


def _set(request: Request, response: Response, value: str, age: int | None) -> None:
    response.set_cookie(
        _name(request),
        value,
        max_age=age,
        path=PREFIX,
        secure=request.app.state.settings.secure,
        httponly=True,
        samesite="strict",
    )


def csrf_token(secret: str) -> str:
    """Return the CSRF token of a session's secret."""
    mark = hmac.digest(secret.encode(), b"atoll CSRF token", hashlib.sha256)
    return base64.urlsafe_b64encode(mark).decode().rstrip("=")


def check_token(request: Request, secret: str) -> None:
    """Refuse a change that a browser was made to ask for. Errors: ATL-API-018."""
    if request.method in SAFE:
        return
    given = request.headers.get(CSRF, "")
    if not hmac.compare_digest(given.encode(), csrf_token(secret).encode()):
        raise DeniedError(
            "ATL-API-018",
            "a browser's session changes something only with its CSRF token",
            place=CSRF,
            hint=f"GET {PREFIX}/me returns it; send it as the header {CSRF}",
        )


def check_origin(request: Request) -> None:
    """Refuse a change that another site's page asks for. Errors: ATL-API-019.

    Old browsers send neither header, and programs need not.
    """
    if request.method in SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        ours = site in {"same-origin", "none"}
    else:
        ours = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if not ours:
        raise DeniedError(
            "ATL-API-019",
            "a page of another site asks for this",
            place="Origin",
            hint="only pages of this node may use a browser's session; programs send a token",
        )


def check_host(request: Request) -> None:
    """Refuse what was sent to another name than this machine's own. Errors: ATL-API-023.

    A page of any site may let its own name lead to 127.0.0.1: for the browser it then asks its own
    site. Only the name that it asked for shows that.
    """
    stated = request.headers.getlist("host")
    host, _, port = stated[0].rpartition(":") if len(stated) == 1 else ("", "", "")
    if not port.isdigit():
        host = stated[0] if len(stated) == 1 else ""
    if not is_loopback(host.lower().removeprefix("[").removesuffix("]")):
        raise DeniedError(
            "ATL-API-023",
            "without access control the node answers to names of this machine alone",
            place="Host",
            hint="use http://127.0.0.1 or http://localhost; or set access.enabled",
        )


def schemes(settings: ApiSettings) -> dict[str, Any]:
    """Return the security schemes of the API's description."""
    cookie = "from POST /session; the name ends with the port that the node listens on"
    name = name_of(settings, settings.port)
    return {
        "cookie": {"type": "apiKey", "in": "cookie", "name": name, "description": cookie},
        "csrf": {
            "type": "apiKey",
            "in": "header",
            "name": CSRF,
            "description": "with the cookie, for what may change something; GET /me returns it",
        },
    }


def requirement(method: str) -> dict[str, list[str]]:
    """Return what a request needs that comes with the cookie."""
    return {"cookie": []} if method in SAFE else {"cookie": [], "csrf": []}
