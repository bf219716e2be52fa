"""Makes methods of calls and flows; both clients offer the same methods.

What a method does is a flow. ``Client.run`` drives it at once, and the method returns its result;
``AsyncClient.run`` returns a coroutine, and the method's result is awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

from atoll.sdk import flows
from atoll.sdk.flows import Flow
from atoll.sdk.wire import Call

P = ParamSpec("P")
T = TypeVar("T")
B = TypeVar("B", bound="Bound")
F = TypeVar("F", bound=Callable[..., Any])
Returns = Literal["result", "job", "draft", "items"]


class Runner(Protocol):
    """A client: what it returns is a result, or what is awaited for one."""

    attempts: int

    def run(self, flow: Flow[Any], /) -> Any:
        """Drive a flow to its end."""
        ...

    def iterate(self, flow: Flow[Any], /) -> Any:
        """Drive a flow and give what it emits."""
        ...


class Bound:
    """Something that a client offers."""

    _client: Runner

    def _send(self, call: Call[T]) -> Flow[T]:
        return flows.send(call, self._client.attempts)


class Resource(Bound):
    """A part of the API."""

    def __init__(self, client: Runner) -> None:
        self._client = client


def offered(call: F, build: Callable[..., Any], returns: Returns, bound: int) -> F:
    """Give a method the name and description of what it sends, and note what it gives.

    ``bound`` is how many parameters of ``build`` the method fills in by itself.
    """
    call.__name__, call.__doc__ = build.__name__, build.__doc__
    call.__wrapped__ = build  # type: ignore[attr-defined]
    call.offers = (returns, bound)  # type: ignore[attr-defined]
    return call


def flowing(build: Callable[Concatenate[B, P], Flow[T]]) -> Callable[Concatenate[B, P], T]:
    """Return the method that drives a flow and returns its result."""

    def call(self: B, /, *args: P.args, **named: P.kwargs) -> T:
        result: T = self._client.run(build(self, *args, **named))
        return result

    return offered(call, build, "result", 1)


def emitting(build: Callable[Concatenate[B, P], Flow[Any]]) -> Callable[Concatenate[B, P], Any]:
    """Return the method that drives a flow and gives what it emits."""

    def call(self: B, /, *args: P.args, **named: P.kwargs) -> Any:
        return self._client.iterate(build(self, *args, **named))

    return offered(call, build, "items", 1)


def method(build: Callable[P, Call[T]]) -> Callable[Concatenate[Bound, P], T]:
    """Return the method that sends a call and returns its result."""

    def call(self: Bound, /, *args: P.args, **named: P.kwargs) -> T:
        result: T = self._client.run(self._send(build(*args, **named)))
        return result

    return offered(call, build, "result", 0)


def every(build: Callable[P, Call[Any]]) -> Callable[Concatenate[Bound, P], Iterator[Any]]:
    """Return the method that gives the items of all pages of a list, one after the other."""

    def call(self: Bound, /, *args: P.args, **named: P.kwargs) -> Any:
        return self._client.iterate(flows.pages(_paged(build, *args, **named)))

    return offered(call, build, "items", 0)


def _paged(build: Callable[..., Call[Any]], *args: Any, **named: Any) -> Any:
    """Return the function from a cursor to the call for the page after it."""

    def page(after: str | None) -> Call[Any]:
        return build(*args, **{**named, "after": after or named.get("after")})

    return page
