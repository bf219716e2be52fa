"""Which rows an artifact has, as far as a plan can follow them: enough to see that two share some.

Sets of rows have names. Every set that is named here has a row: a step that finds none fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

Names = frozenset[str]


@dataclass(frozen=True)
class Lineage:
    """One set of rows and its relation to others, by name.

    All of its rows are in each of ``within``; all rows of each of ``holds`` are here; it shares
    some with each of ``meets``. Its own ``name`` is in all three. ``whole``: it has every row of
    the tables that it comes from.
    """

    name: str
    within: Names
    holds: Names
    meets: Names
    whole: bool = False

    @classmethod
    def of_source(cls, name: str) -> Lineage:
        """Return the lineage of a whole table."""
        own = frozenset({name})
        return cls(name, own, own, own, whole=True)

    def some(self, name: str) -> Lineage:
        """Return the lineage of some of these rows."""
        own = frozenset({name})
        within = self.within | own
        return Lineage(name, within, own, within)

    @classmethod
    def of_all(cls, name: str, parts: Sequence[Lineage]) -> Lineage:
        """Return the lineage of all rows of these sets."""
        if len(parts) == 1:
            return parts[0]
        own = frozenset({name})
        within = reduce(Names.__and__, (part.within for part in parts)) | own
        holds = own.union(*(part.holds for part in parts))
        meets = within.union(*(part.meets for part in parts))
        return cls(name, within, holds, meets, all(part.whole for part in parts))

    def among(self, other: Lineage) -> bool:
        """Return whether all of these rows are in the other set for certain."""
        return bool(self.within & other.holds)

    def overlaps(self, other: Lineage) -> bool:
        """Return whether some row is in both for certain; False if that is not known."""
        return bool(self.holds & other.meets or self.meets & other.holds)
