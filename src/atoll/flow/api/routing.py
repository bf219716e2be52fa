"""``Routes``: declares a resource's addresses, each at its function and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, Unpack

from fastapi import Response

from atoll.flow.api import views
from atoll.flow.api.endpoints import Body, Endpoint
from atoll.flow.api.guard import GuardedRoute
from atoll.flow.api.settings import PREFIX

_MEANINGS = {
    400: "not JSON, or not a key",
    401: "no login, or a token that is no longer valid",
    403: "this user may not do this, or a browser's request without its CSRF token",
    404: "not found",
    405: "this address does not take this method",
    408: "the body came too slowly",
    409: "it conflicts with the present state",
    413: "the body is too large",
    422: "a field or the data is not right; code, place and hint give the reason",
    429: "too many attempts",
    500: "a fault of ours",
    502: "a partner could not be reached, refused or failed",
    503: "the node lacks something",
    504: "it took too long",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": views.ErrorAnswer, "description": text} for status, text in _MEANINGS.items()
}

F = TypeVar("F", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """How an endpoint is treated (see ``Endpoint``), and its arguments for the framework."""

    body: Body
    secret: bool
    watched: bool
    recorded: bool
    download: bool
    quiet: bool
    status_code: int
    response_model: Any
    response_class: type[Response]
    responses: dict[int | str, dict[str, Any]]
    openapi_extra: dict[str, Any]


class Routes:
    """The addresses of one resource, below ``prefix``; ``tag`` begins their operation ids."""

    def __init__(self, tag: str, prefix: str = PREFIX) -> None:
        self.tag = tag
        self.prefix = prefix
        self.routes: list[GuardedRoute] = []

    def get(self, path: str, *, may: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """Declare what GET does, for whom it ``may`` be done."""
        return self._declare("GET", path, may, **options)

    def post(self, path: str, *, may: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """Declare what POST does."""
        return self._declare("POST", path, may, **options)

    def put(self, path: str, *, may: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """Declare what PUT does."""
        return self._declare("PUT", path, may, **options)

    def patch(self, path: str, *, may: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """Declare what PATCH does."""
        return self._declare("PATCH", path, may, **options)

    def delete(self, path: str, *, may: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """Declare what DELETE does."""
        return self._declare("DELETE", path, may, **options)

    def _declare(
        self,
        method: str,
        path: str,
        may: str,
        *,
        body: Body = "json",
        secret: bool = False,
        watched: bool = False,
        recorded: bool = False,
        download: bool = False,
        quiet: bool = False,
        responses: dict[int | str, dict[str, Any]] | None = None,
        **framework: Any,
    ) -> Callable[[F], F]:
        whole = self.prefix + path
        endpoint = Endpoint(method, whole, may, body, secret, watched, recorded, download, quiet)

        def add(function: F) -> F:
            route = GuardedRoute(
                whole,
                function,
                declared=endpoint,
                methods=[method],
                tags=[self.tag],
                responses=ERRORS | (responses or {}),
                operation_id=f"{self.tag}_{function.__name__}",
                **framework,
            )
            self.routes.append(route)
            return function

        return add


def bytes_body(description: str) -> dict[str, Any]:
    """Declare a body of raw bytes."""
    schema = {"type": "string", "format": "binary"}
    content = {"application/octet-stream": {"schema": schema}}
    return {
        "requestBody": {"required": True, "description": description, "content": content},
    }
