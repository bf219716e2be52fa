"""What the ledger counts, per table and partner: the units of every cap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

NAMES = ("runs", "psi_runs", "tree_nodes", "opened_sums", "epsilon", "rows")


@dataclass(frozen=True)
class Counts:
    """How much of a table a partner learned, or may learn at most.

    ``runs`` counts runs of jobs that began (an attempt after one that was not in vain is one
    more), ``psi_runs`` intersections, ``tree_nodes`` trees
    times nodes, ``opened_sums`` single opened statistics, ``epsilon`` differential privacy's ε,
    ``rows`` rows that were scored (in jobs, and under standing agreements), sent in a sample, or
    of which a side of a cut was shown (one for each row and cut).
    """

    runs: int = 0
    psi_runs: int = 0
    tree_nodes: int = 0
    opened_sums: int = 0
    epsilon: float = 0.0
    rows: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Add unit by unit."""
        return Counts(*(getattr(self, n) + getattr(other, n) for n in NAMES))

    def __sub__(self, other: Counts) -> Counts:
        """Take away unit by unit."""
        return Counts(*(getattr(self, n) - getattr(other, n) for n in NAMES))

    def most(self, other: Counts) -> Counts:
        """Return the larger of the two, unit by unit."""
        return Counts(*(max(getattr(self, n), getattr(other, n)) for n in NAMES))

    def plain(self) -> dict[str, Any]:
        """Return the units that are not zero."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Counts:
        """Read the plain form; unknown units are ignored."""
        known = {entry.name for entry in fields(cls)}
        return cls(**{name: amount for name, amount in value.items() if name in known})

    @classmethod
    def rounded(cls, amounts: Mapping[str, float]) -> Counts:
        """Make counts of an amount of every unit: whole numbers, rounded up, but for ε."""
        whole: dict[str, Any] = {name: math.ceil(amounts[name]) for name in NAMES}
        return cls(**{**whole, "epsilon": float(amounts["epsilon"])})

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in NAMES)


def total(parts: Iterable[Counts]) -> Counts:
    """Return the sum of many."""
    found = Counts()
    for part in parts:
        found = found + part
    return found


Usage = Mapping[tuple[str, str], Counts]
"""What was used so far, open reservations included, by (table, partner)."""
