"""Scaling and imputation of pooled columns, from statistics that sums gave.

Nothing here communicates: ``Moments`` and ``Sketch`` did. The scaling is the data of a party's own
(``models.scaling``), so it is stored and applied like any other; the formulas are those of
``features.scaling``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError
from atoll.learning.horizontal.features.moments import Described
from atoll.learning.horizontal.features.sketch import Cells
from atoll.models.scaling import ScaledColumn, ScalePart

Floats = npt.NDArray[np.float64]


def scaling(
    party: str,
    names: Sequence[str],
    described: Described,
    method: Literal["standard", "min-max"] = "standard",
) -> ScalePart:
    """Return the scaling of pooled columns as the part that ``party`` applies to its rows.

    ``standard``: mean and deviation of all rows (ddof 0). ``min-max``: the bounds that ``Moments``
    found, which enclose all values by less than a cell each (2^-16 of the values by default).
    """
    if method == "standard":
        offset, divisor = described.mean, described.deviation
    else:
        offset, divisor = described.low, described.high - described.low
    known = described.count > 0
    offset = np.where(known, offset, 0.0)
    divisor = np.where(known & (divisor > 0), divisor, 1.0)
    pairs = zip(offset.tolist(), divisor.tolist(), strict=True)
    lines = [
        ScaledColumn(name=name, offset=o, divisor=d)
        for name, (o, d) in zip(names, pairs, strict=True)
    ]
    return ScalePart(party=party, scaled=tuple(lines))


@dataclass(frozen=True)
class Imputation:
    """What stands in for a missing value, ``values`` float64[columns]; NaN leaves it missing."""

    values: Floats

    def apply(self, rows: Floats) -> Floats:
        """Return float64[n, columns] without missing values, as far as one is known."""
        if rows.ndim != 2 or rows.shape[1] != len(self.values):
            raise UserError("ATL-BIN-002", f"this imputation belongs to {len(self.values)} columns")
        return np.where(np.isnan(rows), self.values, rows)


def by_mean(described: Described) -> Imputation:
    """Return each column's pooled mean."""
    return Imputation(described.mean)


def by_median(cells: Cells) -> Imputation:
    """Return each column's pooled median, off by at most what ``Cells.quantile`` states."""
    return Imputation(cells.quantile(np.array([0.5]))[0][:, 0])


def by_constant(columns: int, value: float) -> Imputation:
    """Return the same value for all columns."""
    return Imputation(np.full(columns, value))
