"""What the makers of methods in both clients share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from atoll.sdk.wire import Call

F = TypeVar("F", bound=Callable[..., Any])


def kept(call: F, build: Callable[..., Any]) -> F:
    """Give a method the name and description of the call that it sends."""
    call.__name__ = build.__name__
    call.__doc__ = build.__doc__
    call.__wrapped__ = build  # type: ignore[attr-defined]
    return call


def paged(build: Callable[..., Call[Any]], *args: Any, **named: Any) -> Any:
    """Return the function from a cursor to the call for the page after it."""

    def page(after: str | None) -> Call[Any]:
        return build(*args, **{**named, "after": after or named.get("after")})

    return page
