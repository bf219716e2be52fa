"""Before every route: who asks, whether they may, and whether they asked the same before."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from atoll.core.errors import InternalError
from atoll.flow.access import Access, Actor, UnauthenticatedError, local_actor
from atoll.flow.api import cookies
from atoll.flow.api.body import StrictRequest
from atoll.flow.api.clients import client_of
from atoll.flow.api.endpoints import OWN, PUBLIC, Endpoint
from atoll.flow.api.exchange import HttpExchange
from atoll.flow.api.idempotency import Idempotency
from atoll.flow.api.services import Services
from atoll.flow.api.shares import LARGE, Shares, apart

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_SCHEME = "bearer "


class _CheckedRequest(StrictRequest):
    """A request whose sender is checked again at the end of the body."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Give the body as it comes. Errors: those of ``Access.confirm`` at its end."""
        async for piece in super().stream():
            yield piece
        # Whoever sends slowly may have lost the token, or a role, since the head came.
        exchange = HttpExchange.of(self.scope)
        actor, declared = exchange.actor, exchange.endpoint
        if actor is not None and declared is not None:
            access: Access = self.app.state.services.access
            needed = "" if declared.permission == OWN else declared.permission
            await apart(self.app, lambda: access.confirm(actor, needed, exchange.target))


class GuardedRoute(APIRoute):
    """A route that asks who it is, and what it declares, before it reads the body."""

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, declared: Endpoint, **framework: Any
    ) -> None:
        self.declared = declared
        super().__init__(path, endpoint, **framework)

    def get_route_handler(self) -> Handler:
        """Wrap the framework's handler."""
        inner = super().get_route_handler()
        declared = self.declared
        threaded = not inspect.iscoroutinefunction(self.endpoint)

        async def work(request: Request) -> Response:
            if not threaded:
                return await inner(request)
            async with _shares(request).thread(_user(request)):
                return await inner(request)

        async def handle(request: Request) -> Response:
            exchange = HttpExchange.of(request.scope)
            exchange.endpoint, exchange.operation = declared, self.unique_id
            exchange.target = "/".join(str(value) for value in request.path_params.values())
            await _admit(request, exchange, declared.permission)
            _hold(request, exchange)
            strict = _CheckedRequest(request.scope, request.receive)
            if self.body_field is not None:
                await strict.load(self.body_field.field_info.annotation)
            # Without a user a key would be shared by all users.
            if request.method == "POST" and exchange.actor and not declared.streamed:
                memory: Idempotency = request.app.state.idempotency
                return await memory.once(strict, exchange, work, secret=declared.secret)
            return await work(strict)

        return handle


def _shares(request: Request) -> Shares:
    shares: Shares = request.app.state.shares
    return shares


def _user(request: Request) -> str:
    actor = HttpExchange.of(request.scope).actor
    return actor.user if actor else ""


def _hold(request: Request, exchange: HttpExchange) -> None:
    """Count a request among its user's, until its work is over. Errors: ATL-API-021, 024."""
    if exchange.actor is None:
        return
    shares, user = _shares(request), exchange.actor.user
    if exchange.endpoint is not None and exchange.endpoint.noted:
        shares.note_change(user)
    exchange.held.enter_context(shares.hold("requests", user))
    if exchange.endpoint is not None and exchange.endpoint.download:
        exchange.held.enter_context(shares.hold("downloads", user))
    length = int(request.headers.get("content-length", "0"))
    if length > LARGE or "transfer-encoding" in request.headers:
        streamed = exchange.endpoint is not None and exchange.endpoint.streamed
        exchange.held.enter_context(shares.hold("uploads" if streamed else "bodies", user))


async def _admit(request: Request, exchange: HttpExchange, permission: str) -> None:
    if not request.app.state.settings.authentication:
        cookies.check_host(request)
    if permission == PUBLIC:
        return
    services: Services = request.app.state.services
    actor = exchange.actor = await _who(request, exchange, services.access)
    if permission != OWN and not actor.allows(permission):
        target = exchange.target
        await apart(request.app, lambda: services.access.require(actor, permission, target))


async def _who(request: Request, exchange: HttpExchange, access: Access) -> Actor:
    """Return who asks: by a header, else by a browser's cookie, which proves less on its own."""
    if not request.app.state.settings.authentication:
        cookies.check_origin(request)
        return local_actor(access.permissions)
    header, secret = request.headers.get("authorization"), cookies.read(request)
    client = client_of(request)
    if header is not None or secret is None:
        token = bearer(header or "")
        return await apart(request.app, lambda: access.authenticate(token, client=client))
    actor = await apart(
        request.app, lambda: access.authenticate(secret, client=client, browser=True)
    )
    # The refusals below are this user's in the audit log.
    exchange.actor, exchange.by_cookie = actor, True
    cookies.check_origin(request)
    cookies.check_token(request, secret)
    return actor


async def still_allowed(request: Request) -> bool:
    """Return whether who was let in some time ago would be let in now; it counts as no use."""
    exchange = HttpExchange.of(request.scope)
    actor, declared = exchange.actor, exchange.endpoint
    if actor is None or declared is None or declared.permission == PUBLIC:
        return True
    access: Access = request.app.state.services.access
    now = await apart(request.app, lambda: access.current(actor))
    return now is not None and (declared.permission == OWN or now.allows(declared.permission))


def bearer(header: str) -> str:
    """Return the token of an Authorization header. Errors: ATL-API-010."""
    token = header[len(_SCHEME) :].strip() if header[: len(_SCHEME)].lower() == _SCHEME else ""
    if not token or len(token) > 512 or not token.isascii() or not token.isprintable():
        raise UnauthenticatedError(
            "ATL-API-010",
            "this needs a login",
            hint="send Authorization: Bearer TOKEN; get a token from /api/v1/login",
        )
    return token


async def _services(request: Request) -> Any:
    return request.app.state.services


async def _actor(request: Request) -> Any:
    actor = HttpExchange.of(request.scope).actor
    if actor is None:
        raise InternalError("ATL-API-009", "a public route asks for an actor")
    return actor


At = Annotated[Services, Depends(_services)]
By = Annotated[Actor, Depends(_actor)]
