"""What clients send and what is added up: named vectors and named numbers.

``a + b`` adds like to like. Names, lengths and number formats must be equal before anything is
added; a client that did nothing has weight 0 and adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from atoll.core.errors import DataError
from atoll.learning.horizontal.layout import Vector

BLOCK = 1 << 15
# Numbers up to here add up in float64, however many clients there are.
MOST_NUMBER = 1e300


@dataclass(frozen=True)
class Update:
    """One client's contribution to a round, or the sum of several.

    ``vectors`` are float[size] each; ``numbers`` are scalars (weights, losses, counts). Both are
    sums: a mean is the quotient of two entries of the total. Revealed to the aggregator as it is
    unless a postprocessor masks it.
    """

    vectors: Mapping[str, Vector]
    numbers: Mapping[str, float]

    def __add__(self, other: Update) -> Update:
        require_alike(self, other)
        vectors = {name: vector + other.vectors[name] for name, vector in self.vectors.items()}
        numbers = {name: value + other.numbers[name] for name, value in self.numbers.items()}
        return Update(vectors, numbers)

    def scaled(self, by: float) -> Update:
        """Return this update with its vectors multiplied; its numbers stay as they are."""
        if by == 1:
            return self
        return Update(
            {name: v * v.dtype.type(by) for name, v in self.vectors.items()}, self.numbers
        )

    def check(self) -> Update:
        """Return this update if every value is finite. Errors: ATL-HOR-011."""
        for name, vector in self.vectors.items():
            # The sum of squares is finite only if all values are (one pass, nothing allocated).
            with np.errstate(over="ignore"):
                square = float(np.dot(vector, vector))
            if not math.isfinite(square) and not np.isfinite(vector).all():
                raise DataError("ATL-HOR-011", f"{name!r} of an update holds a value not finite")
        for name, value in self.numbers.items():
            if not math.isfinite(value):
                raise DataError("ATL-HOR-011", f"{name!r} of an update is not finite")
        return self


def greatest(vector: Vector) -> float:
    """Return the greatest absolute value, 0 of none."""
    return max(float(vector.max()), -float(vector.min())) if vector.size else 0.0


class Extent(NamedTuple):
    """What stands behind an update or a sum, as all know it.

    ``updates`` that are added up, ``rows`` of their clients together and ``largest`` of any one
    client of ``clients``, at most, and the running ``round``.
    """

    updates: int
    rows: int
    largest: int
    clients: int
    round: int = 0


def require_alike(one: Update, other: Update) -> None:
    """Refuse to add updates that differ in names, lengths or formats. Errors: ATL-HOR-010."""
    if _shape(one) != _shape(other):
        raise _not_alike()


def _not_alike() -> DataError:
    return DataError(
        "ATL-HOR-010",
        "two updates of a round differ in their arrays and cannot be added",
        hint="all clients of a round must train the model that the aggregator sent",
    )


def joined(updates: Mapping[int, Update]) -> Update | None:
    """Return all updates in one, each vector and number under its client's, or None for none.

    Holds clients × values, and shows the aggregator each client's update. Errors: ATL-HOR-010.
    """
    parts = list(updates.items())
    for _, update in parts[1:]:
        require_alike(parts[0][1], update)
    vectors = {f"{n}.{name}": v for n, update in parts for name, v in update.vectors.items()}
    numbers = {f"{n}.{name}": v for n, update in parts for name, v in update.numbers.items()}
    return Update(vectors, numbers) if parts else None


def parted(whole: Update) -> dict[int, Update]:
    """Return the updates that ``joined`` made one of, by client."""
    found: dict[int, Update] = {}
    for name, vector in whole.vectors.items():
        number, _, own = name.partition(".")
        found.setdefault(int(number), Update({}, {}))
        part = found[int(number)]
        found[int(number)] = Update({**part.vectors, own: vector}, part.numbers)
    for name, value in whole.numbers.items():
        number, _, own = name.partition(".")
        part = found.get(int(number), Update({}, {}))
        found[int(number)] = Update(part.vectors, {**part.numbers, own: value})
    return found


class Running:
    """The sum of updates that come one after the other: it alone is held, whatever their number.

    Of the same bits as ``total`` of them all in that order. Errors of ``add``: ATL-HOR-010.
    """

    def __init__(self) -> None:
        self._vectors: dict[str, Vector] | None = None
        self._form: tuple[object, ...] = ()
        self._numbers: list[Mapping[str, float]] = []

    def add(self, update: Update, *, owned: bool = False) -> None:
        """Add an update; with ``owned`` its vectors may be added to, and become the sum."""
        if self._vectors is None:
            self._form = _shape(update)
            self._vectors = {n: v if owned else np.array(v) for n, v in update.vectors.items()}
        else:
            if _shape(update) != self._form:
                raise _not_alike()
            for name, vector in self._vectors.items():
                vector += update.vectors[name]
        self._numbers.append(update.numbers)

    def total(self) -> Update | None:
        """Return the sum so far, or None of none."""
        if self._vectors is None:
            return None
        first = self._numbers[0]
        numbers = {name: math.fsum(n[name] for n in self._numbers) for name in first}
        return Update(self._vectors, numbers)


def _shape(update: Update) -> tuple[object, ...]:
    vectors = {name: (v.shape, v.dtype.str) for name, v in update.vectors.items()}
    return vectors, sorted(update.numbers)


def total(updates: Iterable[Update]) -> Update | None:
    """Return the sum of ``updates`` in their order, or None for none.

    The vectors are added block by block, all clients' blocks before the next, so that the running
    sum stays in the processor's cache. Errors: ATL-HOR-010.
    """
    parts = list(updates)
    if not parts:
        return None
    first = parts[0]
    for part in parts[1:]:
        require_alike(first, part)
    vectors = {name: _added([p.vectors[name] for p in parts]) for name in first.vectors}
    numbers = {name: math.fsum(p.numbers[name] for p in parts) for name in first.numbers}
    return Update(vectors, numbers)


def _added(vectors: list[Vector]) -> Vector:
    result = np.array(vectors[0])
    for start in range(0, len(result), BLOCK):
        block = result[start : start + BLOCK]
        for vector in vectors[1:]:
            block += vector[start : start + BLOCK]
    return result
