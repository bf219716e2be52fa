"""What a party knows of its own label before a job runs: its classes, and where each begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CLASSES = 100


@dataclass(frozen=True)
class LabelFacts:
    """The distinct values of a label column, rising, and the first row of each.

    Rows are numbered as the file numbers them. Beyond 100 classes only the 100 least are kept and
    ``more`` is true. For the party's own planning; never sent.
    """

    column: str
    classes: tuple[float, ...]
    rows: tuple[int, ...]
    more: bool = False

    @classmethod
    def of(cls, label: npt.NDArray[np.float64], column: str, first_row: int = 1) -> LabelFacts:
        """Return the facts of a label, float64[rows] without missing values."""
        values, at = np.unique(label, return_index=True)
        rows = (at[:CLASSES] + first_row).tolist()
        return cls(column, tuple(values[:CLASSES].tolist()), tuple(rows), len(values) > CLASSES)

    def other_than(self, *allowed: float) -> int | None:
        """Return the first row whose label is none of these, None if there is no such row."""
        found = [row for v, row in zip(self.classes, self.rows, strict=True) if v not in allowed]
        return min(found, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        whole = {"column": self.column, "classes": list(self.classes), "rows": list(self.rows)}
        return {**whole, "more": self.more}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LabelFacts:
        """Read the JSON form."""
        return cls(value["column"], tuple(value["classes"]), tuple(value["rows"]), value["more"])
