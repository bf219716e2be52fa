"""From errors to answers: a status, a code, a hint, and never a text that we did not write."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from atoll.core.errors import (
    AtollError,
    CancelledError,
    InternalError,
    NetworkError,
    PeerError,
    UserError,
)
from atoll.flow.access.errors import ThrottledError, UnauthenticatedError
from atoll.flow.api.exchange import HttpExchange
from atoll.flow.api.places import hint_of, place_of, shown
from atoll.jobs.errors import ConflictError, DeniedError, EnvironmentFault, NotFoundError

log = logging.getLogger("atoll.api")


class StatusError(UserError):
    """A refusal that carries its own status."""

    def __init__(self, status: int, code: str, message: str, **where: Any) -> None:
        super().__init__(code, message, **where)
        self.status = status


_STATUS: tuple[tuple[type[AtollError], int], ...] = (
    (UnauthenticatedError, 401),
    (ThrottledError, 429),
    (NotFoundError, 404),
    (DeniedError, 403),
    (ConflictError, 409),
    (EnvironmentFault, 503),
    (UserError, 422),
    (CancelledError, 409),
    (PeerError, 502),
    (NetworkError, 502),
)


def status_of(error: AtollError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, StatusError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def answer(error: AtollError) -> JSONResponse:
    """Make the answer that reports an error; a fault of ours is reported by its code alone."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ThrottledError):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    body = error.to_dict()
    if status == 500:
        body = {"code": error.code, "kind": "InternalError", "message": "a fault of ours"}
        body["hint"] = "the node's log has more, under the request's id"
    return JSONResponse({"error": body}, status, headers)


def fault(error: BaseException, request: str) -> JSONResponse:
    """Log an unexpected error and make an answer that reveals nothing about it."""
    # The text of a foreign error may hold data; where it happened does not.
    frames = traceback.extract_tb(error.__traceback__)
    where = " > ".join(f"{one.filename}:{one.lineno} {one.name}" for one in frames)
    log.error("%s in request %s at %s", type(error).__name__, request, where)
    return answer(InternalError("ATL-INT-001", "a fault of ours"))


def _unknown_address() -> UserError:
    return StatusError(
        404, "ATL-API-002", "there is no such address", hint="see /api/v1/openapi.json"
    )


def from_http(error: HTTPException) -> AtollError:
    """Turn a refusal of the framework into one of ours."""
    if error.status_code == 404:
        return _unknown_address()
    if error.status_code == 405:
        return StatusError(
            405,
            "ATL-API-003",
            "this address does not take this method",
            hint="see /api/v1/openapi.json",
        )
    if error.status_code < 500:
        return malformed("the request cannot be read")
    return InternalError("ATL-INT-001", "a fault of ours")


def malformed(reason: str) -> StatusError:
    """Return the refusal of a body that is no JSON, or JSON that no value of ours can hold."""
    return StatusError(
        400, "ATL-API-005", reason, place="body", hint="send JSON as application/json"
    )


def from_validation(error: RequestValidationError, request: Request) -> AtollError:
    """Name the first thing that is wrong with a request, and the nearest right one."""
    problems: list[Mapping[str, Any]] = list(error.errors())
    # A misspelt field is also a missing one: the hint is in the first.
    problems.sort(key=lambda problem: problem.get("type") != "extra_forbidden")
    first: Mapping[str, Any] = next(iter(problems), {})
    return StatusError(
        422,
        "ATL-API-001",
        shown(str(first.get("msg", "the request has another form")), 300),
        place=place_of(first.get("loc", ())),
        hint=hint_of(first, request.scope.get("route")),
    )


def add_handlers(app: FastAPI) -> None:
    """Let the app answer every error in our form."""

    def respond(request: Request, error: AtollError) -> JSONResponse:
        exchange = HttpExchange.of(request.scope)
        exchange.code = error.code
        if status_of(error) == 500:
            log.error("fault in request %s", exchange.id, exc_info=error)
        return answer(error)

    async def ours(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, AtollError):
            return fault(error, HttpExchange.of(request.scope).id)
        return respond(request, error)

    async def framework(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, HTTPException):
            return fault(error, HttpExchange.of(request.scope).id)
        response = respond(request, from_http(error))
        if error.status_code == 405 and error.headers:
            response.headers.update(error.headers)
        return response

    async def validation(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, RequestValidationError):
            return fault(error, HttpExchange.of(request.scope).id)
        return respond(request, from_validation(error, request))

    app.add_exception_handler(AtollError, ours)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, validation)
