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

from atoll.core.errors import DataError, UserError
from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.features.api import received, wrong_message
from atoll.learning.horizontal.features.moments import Described
from atoll.learning.horizontal.features.sketch import Cells
from atoll.models.scaling import ScaledColumn, ScalePart

Floats = npt.NDArray[np.float64]
OFFSET, DIVISOR, FILL, FILLED = "offset", "divisor", "fill", "filled"


def scaling(
    party: str,
    names: Sequence[str],
    described: Described,
    method: Literal["standard", "min-max"] = "standard",
    *,
    fill: Imputation | None = None,
) -> ScalePart:
    """Return the scaling of pooled columns as the part that ``party`` applies to its rows.

    ``standard``: mean and deviation of all rows (ddof 0). ``min-max``: the bounds that ``Moments``
    found, which enclose all values by less than a cell each (2^-16 of the values by default).
    ``fill`` stands in for missing values, which else stay. Errors: ATL-CMP-070 beyond float64.
    """
    if method == "standard":
        offset, divisor = described.mean, described.deviation
    else:
        with np.errstate(over="ignore"):
            offset, divisor = described.low, described.high - described.low
    known = described.count > 0
    beyond = known & ~(np.isfinite(offset) & np.isfinite(divisor))
    if beyond.any():
        raise DataError(
            "ATL-CMP-070",
            f"the values of column {names[int(np.argmax(beyond))]!r} are too far apart to be "
            "scaled",
            hint="leave the column out, or clip its values before",
        )
    offset = np.where(known, offset, 0.0)
    divisor = np.where(known & (divisor > 0), divisor, 1.0)
    values = np.full(len(names), np.nan) if fill is None else fill.values
    means = [float(value) if np.isfinite(value) else None for value in values]
    lines = [
        ScaledColumn(name=name, offset=o, divisor=d, missing=m)
        for name, o, d, m in zip(names, offset.tolist(), divisor.tolist(), means, strict=True)
    ]
    return ScalePart(party=party, scaled=tuple(lines))


def to_vectors(part: ScalePart) -> Vectors:
    """Return a scaling as vectors float64[columns], without names."""
    fill = [column.missing for column in part.scaled]
    return {
        OFFSET: np.array([column.offset for column in part.scaled]),
        DIVISOR: np.array([column.divisor for column in part.scaled]),
        FILL: np.array([0.0 if value is None else value for value in fill]),
        FILLED: np.array([float(value is not None) for value in fill]),
    }


def from_vectors(sent: Vectors, party: str, names: Sequence[str]) -> ScalePart:
    """Return the scaling that ``to_vectors`` wrote as a party's part. Errors: ATL-HOR-100."""
    found = {name: received(sent, name, len(names)) for name in (OFFSET, DIVISOR, FILL, FILLED)}
    if not (found[DIVISOR] > 0).all():
        raise wrong_message(DIVISOR)
    lines = zip(names, *(found[name].tolist() for name in found), strict=True)
    return ScalePart(
        party=party,
        scaled=tuple(
            ScaledColumn(name=name, offset=o, divisor=d, missing=value if filled else None)
            for name, o, d, value, filled in lines
        ),
    )


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
