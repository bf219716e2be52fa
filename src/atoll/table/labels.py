"""What a party knows of its own label before a job runs: classes, their sizes and first rows."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CLASSES = 100


@dataclass(frozen=True)
class LabelFacts:
    """The distinct values of a label column, rising, the first row and the size of each.

    Rows are numbered as the file numbers them. Beyond 100 classes only the 100 least are kept and
    ``more`` is true; ``sizes`` are empty if they are not known. For the party's own planning;
    never sent.
    """

    column: str
    classes: tuple[float, ...]
    rows: tuple[int, ...]
    more: bool = False
    sizes: tuple[int, ...] = ()

    @classmethod
    def of(cls, label: npt.NDArray[np.float64], column: str, first_row: int = 1) -> LabelFacts:
        """Return the facts of a label, float64[rows] without missing values."""
        values, at, sizes = np.unique(label, return_index=True, return_counts=True)
        rows = (at[:CLASSES] + first_row).tolist()
        return cls(
            column,
            tuple(values[:CLASSES].tolist()),
            tuple(rows),
            len(values) > CLASSES,
            tuple(sizes[:CLASSES].tolist()),
        )

    def row_of(self, classes: Container[float]) -> int | None:
        """Return the first row whose label is one of these, None if there is no such row."""
        found = [row for v, row in zip(self.classes, self.rows, strict=True) if v in classes]
        return min(found, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        whole = {"column": self.column, "classes": list(self.classes), "rows": list(self.rows)}
        return {**whole, "more": self.more, "sizes": list(self.sizes)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LabelFacts:
        """Read the JSON form."""
        classes, rows = tuple(value["classes"]), tuple(value["rows"])
        # Tables that were registered before have no sizes.
        return cls(value["column"], classes, rows, value["more"], tuple(value.get("sizes", ())))
