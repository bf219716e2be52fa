"""The door of every route: who asks, whether they may, and whether they asked the same before."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from atoll.core.errors import InternalError
from atoll.flow.access import Actor, UnauthenticatedError, local_actor
from atoll.flow.api.body import StrictRequest
from atoll.flow.api.exchange import Exchange
from atoll.flow.api.idempotency import Idempotency
from atoll.flow.api.permissions import OWN, PUBLIC, ROUTES, SECRET, STREAMED
from atoll.flow.api.services import Services

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_SCHEME = "bearer "


class GuardedRoute(APIRoute):
    """A route that authenticates and asks its row of the table before it reads the body."""

    def get_route_handler(self) -> Handler:
        """Wrap the framework's handler. Errors: ATL-API-009 if the route has no row."""
        inner = super().get_route_handler()
        places = [f"{method} {self.path}" for method in sorted(self.methods or ())]
        place = places[0]
        if len(places) != 1 or place not in ROUTES:
            raise InternalError("ATL-API-009", f"no permission is named for {places}")

        async def handle(request: Request) -> Response:
            exchange = Exchange.of(request.scope)
            exchange.place, exchange.operation = place, self.unique_id
            exchange.target = "/".join(str(value) for value in request.path_params.values())
            await _admit(request, exchange, ROUTES[place])
            strict = StrictRequest(request.scope, request.receive)
            if self.body_field is not None:
                await strict.load()
            # Without a user a key would be everybody's.
            if request.method == "POST" and exchange.actor and place not in STREAMED:
                memory: Idempotency = request.app.state.idempotency
                return await memory.once(strict, exchange, inner, secret=place in SECRET)
            return await inner(strict)

        return handle


async def _admit(request: Request, exchange: Exchange, permission: str) -> None:
    if permission == PUBLIC:
        return
    services: Services = request.app.state.services
    if request.app.state.settings.authentication:
        token = bearer(request.headers.get("authorization", ""))
        access, client = services.access, client_of(request)
        actor = await run_in_threadpool(lambda: access.authenticate(token, client=client))
    else:
        actor = local_actor()
    exchange.actor = actor
    if permission != OWN and not actor.allows(permission):
        target = exchange.target
        await run_in_threadpool(lambda: services.access.require(actor, permission, target))


def client_of(request: Request) -> str:
    """Return the address that asks."""
    return request.client.host if request.client else ""


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
    actor = Exchange.of(request.scope).actor
    if actor is None:
        raise InternalError("ATL-API-009", "a public route asks for an actor")
    return actor


At = Annotated[Services, Depends(_services)]
By = Annotated[Actor, Depends(_actor)]
