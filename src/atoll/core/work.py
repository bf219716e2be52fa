"""What a step's work costs in time: measured rates, and how much of it there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """An amount of work of a step: ``seconds`` are those of one unit, by level of the lanes.

    ``source`` names the measurement: benchmark line, sizes, processor.
    """

    unit: str
    amount: int
    seconds: Mapping[str, float]
    source: str

    def at(self, level: str) -> float:
        """Return about how many seconds it takes at a level; the slowest if that is not known."""
        return self.amount * self.seconds.get(level, max(self.seconds.values(), default=0.0))


@dataclass(frozen=True)
class Rate:
    """How long one party takes for a unit of some work (a byte sent, a row), as measured."""

    unit: str
    seconds: Mapping[str, float]
    source: str

    def of(self, amount: int) -> Work:
        """Return so many units of this work."""
        return Work(self.unit, amount, self.seconds, self.source)
