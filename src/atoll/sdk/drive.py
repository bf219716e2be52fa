"""The step of a flow that both clients share: give it a result or a problem, get an effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from atoll.sdk.flows import Effect, Flow, Lost

T = TypeVar("T")


@dataclass(frozen=True)
class Done(Generic[T]):
    """The result of a flow that has come to its end."""

    value: T


class Driver(Generic[T]):
    """A flow, and the result or problem of its last effect."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.reply: Any = None
        self.problem: Lost | None = None

    def step(self) -> Effect | Done[T]:
        """Go on to the next effect, or to the end. Errors: the flow's."""
        reply, problem = self.reply, self.problem
        self.reply = self.problem = None
        try:
            return self._flow.throw(problem) if problem is not None else self._flow.send(reply)
        except StopIteration as stop:
            return Done(stop.value)

    def close(self) -> None:
        """End the flow where it is."""
        self._flow.close()
