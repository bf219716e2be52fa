"""``create_app``: the addresses over the services, behind one envelope of limits, log and audit."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.types import ASGIApp

from atoll import __version__
from atoll.core.errors import InternalError
from atoll.flow.access.audit import DONE, FAILED
from atoll.flow.api import reference
from atoll.flow.api.errors import add_handlers
from atoll.flow.api.exchange import HttpExchange
from atoll.flow.api.extension import Extension
from atoll.flow.api.figures import Figures
from atoll.flow.api.idempotency import Idempotency
from atoll.flow.api.keyed import Keyed
from atoll.flow.api.limits import Limits
from atoll.flow.api.middleware import Envelope
from atoll.flow.api.mounting import mount
from atoll.flow.api.openapi import as_bytes, description
from atoll.flow.api.routes import (
    agreements,
    components,
    data,
    jobs,
    models,
    node,
    parties,
    people,
    session,
)
from atoll.flow.api.services import Services
from atoll.flow.api.settings import PREFIX, ApiSettings
from atoll.flow.api.shares import Shares

OWN_ROUTES = tuple(
    module.ROUTES
    for module in (session, node, components, data, jobs, models, agreements, parties, people)
)


def create_app(
    services: Services,
    settings: ApiSettings | None = None,
    extensions: Sequence[Extension] = (),
    secret: bytes | None = None,
) -> FastAPI:
    """Make the app; users are shown digests keyed with ``secret`` (None: one of its own).

    Errors: ATL-API-009 a route's permission, ATL-API-020 an extension.
    """
    chosen = settings or ApiSettings()
    mounted = mount(OWN_ROUTES, extensions)
    if extensions and services.access.permissions != mounted.permissions:
        raise InternalError("ATL-API-020", "the access control knows other permissions")
    app = FastAPI(
        title="Atoll",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.services = services
    app.state.mounted = mounted
    app.state.settings = chosen
    app.state.idempotency = Idempotency()
    app.state.figures = Figures()
    app.state.keyed = Keyed(secret or secrets.token_bytes(32))
    app.state.shares = Shares(chosen)
    app.state.stopping = threading.Event()
    app.state.description = None
    app.router.routes.extend(mounted.routes)
    app.add_route(f"{PREFIX}/openapi.json", _description, include_in_schema=False)
    if chosen.documentation:
        app.add_route(f"{PREFIX}/docs", _documentation, methods=["GET"], include_in_schema=False)
    add_handlers(app)
    app.add_middleware(
        _middleware(services, Limits(chosen, mounted.endpoints.values()), app.state.figures)
    )
    app.openapi = lambda: description(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.watchers = anyio.CapacityLimiter(app.state.settings.watchers)
    app.state.askers = anyio.CapacityLimiter(app.state.settings.askers)
    app.state.keepers = anyio.CapacityLimiter(app.state.settings.keepers)
    app.state.downloaders = anyio.CapacityLimiter(app.state.settings.downloaders)
    app.state.lookers = anyio.CapacityLimiter(app.state.settings.lookers)
    yield


async def _description(request: Request) -> Response:
    return Response(as_bytes(request.app), media_type="application/json")


async def _documentation(request: Request) -> Response:
    text = reference.page(request.app.openapi())
    return HTMLResponse(text, headers={"Content-Security-Policy": reference.POLICY})


def _middleware(services: Services, limits: Limits, figures: Figures) -> Callable[..., ASGIApp]:
    def audit(exchange: HttpExchange) -> None:
        _audit(services, exchange)

    def count(exchange: HttpExchange) -> None:
        figures.count(exchange, time.monotonic() - exchange.started)

    def wrap(app: ASGIApp, **_: Any) -> ASGIApp:
        return Envelope(app, limits, audit, count)

    return wrap


def _audit(services: Services, exchange: HttpExchange) -> None:
    """Write the audit line of a request, unless the service that did it has written one."""
    actor, log = exchange.actor, services.access.audit
    done = exchange.status < 400
    recorded = exchange.endpoint is not None and exchange.endpoint.recorded
    if actor is None or (done and recorded) or exchange.code in _REFUSALS:
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
