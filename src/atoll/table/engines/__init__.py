"""Where partitions are worked on: threads of this process here, a cluster where one is set up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Runs one function over many partitions."""

    def map(self, function: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Return the results in the order of the items; the first error ends the whole."""
        ...
