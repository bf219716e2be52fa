"""``create_app``: the routers over the services, behind one envelope of limits, log and audit."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from atoll import __version__
from atoll.core.errors import InternalError
from atoll.flow.access import PERMISSIONS
from atoll.flow.access.audit import DONE, FAILED
from atoll.flow.api import reference
from atoll.flow.api.errors import add_handlers
from atoll.flow.api.exchange import Exchange
from atoll.flow.api.figures import Figures
from atoll.flow.api.idempotency import Idempotency
from atoll.flow.api.middleware import Envelope
from atoll.flow.api.openapi import description
from atoll.flow.api.permissions import OWN, PUBLIC, RECORDED, ROUTES
from atoll.flow.api.routes import components, data, jobs, models, node, parties, people, session
from atoll.flow.api.services import Services
from atoll.flow.api.settings import PREFIX, ApiSettings

_ROUTERS = tuple(
    module.ROUTER for module in (session, node, components, data, jobs, models, parties, people)
)


def create_app(services: Services, settings: ApiSettings | None = None) -> FastAPI:
    """Make the app. Errors: ATL-API-009 a route without a permission, or the reverse."""
    chosen = settings or ApiSettings()
    app = FastAPI(
        title="Atoll",
        version=__version__,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.services = services
    app.state.settings = chosen
    app.state.idempotency = Idempotency()
    app.state.figures = Figures()
    app.state.stopping = threading.Event()
    for router in _ROUTERS:
        app.include_router(router)
    check_table()
    if chosen.documentation:
        app.add_route(f"{PREFIX}/docs", _documentation, methods=["GET"], include_in_schema=False)
    add_handlers(app)
    app.add_middleware(_middleware(services, chosen, app.state.figures))
    app.openapi = lambda: description(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.watchers = anyio.CapacityLimiter(app.state.settings.watchers)
    yield


async def _documentation(request: Request) -> Response:
    text = reference.page(request.app.openapi())
    return HTMLResponse(text, headers={"Content-Security-Policy": reference.POLICY})


def places(app: FastAPI) -> set[str]:
    """Return ``METHOD /path`` of every route of our own."""
    schema = app.openapi()
    return {
        f"{method.upper()} {path}"
        for path, methods in schema["paths"].items()
        for method in methods
    }


def check_table() -> None:
    """Compare the routes with the table of permissions. Errors: ATL-API-009."""
    found = {
        f"{method} {route.path}"
        for router in _ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    differing = sorted(found ^ ROUTES.keys())
    known = PERMISSIONS.keys() | {PUBLIC, OWN}
    unknown = sorted(place for place, permission in ROUTES.items() if permission not in known)
    if differing or unknown:
        raise InternalError(
            "ATL-API-009", f"routes and permissions do not match: {[*differing, *unknown]}"
        )


def _middleware(
    services: Services, settings: ApiSettings, figures: Figures
) -> Callable[..., ASGIApp]:
    def audit(exchange: Exchange) -> None:
        _audit(services, exchange)

    def count(exchange: Exchange) -> None:
        figures.count(exchange, time.monotonic() - exchange.begun)

    def wrap(app: ASGIApp, **_: Any) -> ASGIApp:
        return Envelope(app, settings, audit, count)

    return wrap


def _audit(services: Services, exchange: Exchange) -> None:
    """Write the audit line of a request, unless the service that did it has written one."""
    actor, log = exchange.actor, services.access.audit
    done = exchange.status < 400
    if actor is None or (done and exchange.place in RECORDED) or exchange.code in _REFUSALS:
        return
    action = exchange.operation.replace("_", ".", 1)
    if done:
        log.note(actor.user, action, exchange.target, DONE, request=exchange.id)
    elif exchange.status < 500:
        log.refused(actor.user, action, exchange.target, code=exchange.code, request=exchange.id)
    else:
        log.note(
            actor.user, action, exchange.target, FAILED, code=exchange.code, request=exchange.id
        )


# The access service writes these down itself.
_REFUSALS = frozenset({"ATL-ACC-002", "ATL-ACC-003", "ATL-ACC-006"})
