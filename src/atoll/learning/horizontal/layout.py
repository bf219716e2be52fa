"""How the arrays of a model lie in one vector.

Everything that travels, is summed, clipped or masked is one flat vector; a model looks at it
through views. A layout is data: two vectors may be added where their layouts are equal and never
otherwise, since arrays of other shapes would be broadcast or misread without a sign of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError

Vector = npt.NDArray[np.floating]
MOST_VALUES = 1 << 31


@dataclass(frozen=True)
class Layout:
    """Names and shapes of a model's arrays, in order; ``size`` values in all.

    Errors: ATL-HOR-001 for names that repeat, empty shapes or more than 2^31 values.
    """

    arrays: tuple[tuple[str, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.arrays]
        sizes = [math.prod(shape) for _, shape in self.arrays]
        if len(set(names)) < len(names) or not sizes or min(sizes) < 1 or sum(sizes) > MOST_VALUES:
            raise UserError(
                "ATL-HOR-001", "a model needs arrays with names of their own and values"
            )

    @cached_property
    def size(self) -> int:
        """The number of values of all arrays."""
        return sum(math.prod(shape) for _, shape in self.arrays)

    @cached_property
    def spans(self) -> dict[str, slice]:
        """Where the values of each array lie in the vector."""
        return {name: span for name, span, _ in self._places}

    def views(self, vector: Vector) -> dict[str, Vector]:
        """Return each array as a view of ``vector`` (shape ``[size]``): writing writes through."""
        self.check(vector)
        return {name: vector[span].reshape(shape) for name, span, shape in self._places}

    def select(self, names: frozenset[str]) -> npt.NDArray[np.bool_]:
        """Return bool[size], true where a value belongs to an array of ``names``."""
        unknown = names - self.spans.keys()
        if unknown:
            raise UserError(
                "ATL-HOR-002",
                f"the model has no array {sorted(unknown)[0]!r}",
                hint=f"its arrays are {', '.join(self.spans)}",
            )
        chosen = np.zeros(self.size, dtype=np.bool_)
        for name in names:
            chosen[self.spans[name]] = True
        return chosen

    def check(self, vector: Vector) -> None:
        """Refuse a vector that is not of this layout. Errors: ATL-HOR-003."""
        if vector.shape != (self.size,):
            raise UserError(
                "ATL-HOR-003",
                f"a vector of shape {vector.shape} is no model of {self.size} values",
            )

    @cached_property
    def _places(self) -> list[tuple[str, slice, tuple[int, ...]]]:
        places, start = [], 0
        for name, shape in self.arrays:
            stop = start + math.prod(shape)
            places.append((name, slice(start, stop), shape))
            start = stop
        return places
