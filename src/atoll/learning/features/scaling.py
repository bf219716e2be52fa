"""Fits the scaling of a party's own columns; nothing here communicates with anyone.

A value is clipped to the column's bounds, if it has any, and becomes (value - offset) / divisor:

- ``standard``: offset is the mean, divisor the standard deviation of all rows (ddof 0);
- ``min-max``: offset is the least value, divisor the greatest minus the least.

Both are taken of the clipped values; missing ones are left out and stay missing. A column whose
values are all equal is only moved (divisor 1). New rows are clipped to bounds that were asked for,
and to nothing else.

``convention="fate"`` gives what FATE 1.11's feature scaling computes, to compare with it: new rows
are always clipped to the least and greatest value of the fit; a divisor below 1e-6, and a variance
below 1e-8, count as none; quantiles are the value of the nearest rank, the lower one if two are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from atoll.core.errors import DataError
from atoll.jobs.schema import PARTY_LOCAL
from atoll.learning.features.own_columns import (
    Bound,
    Bounds,
    OwnColumns,
    check_bounds,
    fit_columns,
)
from atoll.learning.features.statistics import ColumnName
from atoll.models.scaling import ScaledColumn, ScalePart

if TYPE_CHECKING:
    from atoll.table import Table

Floats = npt.NDArray[np.float64]
FATE_SPREAD, FATE_VARIANCE = 1e-6, 1e-8


class ScaleParameters(OwnColumns):
    """Which columns are scaled and how; each party chooses for its own."""

    method: Literal["standard", "min-max"] = Field(
        default="standard",
        description="to mean 0 and deviation 1, or to least 0 and greatest 1",
        json_schema_extra=PARTY_LOCAL,
    )
    bounds: Literal["value", "quantile"] = Field(
        default="value",
        description="whether bounds are values, or shares of rows between 0 and 1",
        json_schema_extra=PARTY_LOCAL,
    )
    lower: Bound | None = Field(
        default=None,
        description="smaller values are raised to it; empty: none are",
        json_schema_extra=PARTY_LOCAL,
    )
    upper: Bound | None = Field(
        default=None,
        description="greater values are cut to it; empty: none are",
        json_schema_extra=PARTY_LOCAL,
    )
    by_column: dict[ColumnName, Bounds] = Field(
        default_factory=dict,
        max_length=1 << 16,
        description="columns with bounds of their own, in place of lower and upper",
        json_schema_extra=PARTY_LOCAL,
    )
    with_mean: bool = Field(
        default=True, description="standard: take the mean off", json_schema_extra=PARTY_LOCAL
    )
    with_std: bool = Field(
        default=True,
        description="standard: divide by the standard deviation",
        json_schema_extra=PARTY_LOCAL,
    )
    convention: Literal["exact", "fate"] = Field(
        default="exact",
        description="exact, or as FATE computes it, to compare with it",
        json_schema_extra=PARTY_LOCAL,
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        shares = self.bounds == "quantile"
        check_bounds(self.lower, self.upper, shares=shares)
        for bounds in self.by_column.values():
            check_bounds(bounds.lower, bounds.upper, shares=shares)
        return self

    def of(self, column: str) -> Bounds:
        """Return the bounds of a column, as values or shares."""
        return self.by_column.get(column, Bounds(lower=self.lower, upper=self.upper))

    def named(self) -> tuple[str, ...]:
        """Return all columns that are named."""
        return tuple(dict.fromkeys((*(self.columns or ()), *self.by_column)))


def fit(table: Table, party: str, parameters: ScaleParameters) -> ScalePart:
    """Return how a party's columns are scaled, in the table's order.

    Errors: ATL-TAB-002 no such feature, ATL-CMP-070 a column's values are too far apart.
    """
    lines = fit_columns(
        table, parameters, lambda name, column: fit_column(name, column, parameters)
    )
    return ScalePart(party=party, scaled=lines)


def fit_column(name: str, column: Floats, parameters: ScaleParameters) -> ScaledColumn:
    """Return how float64[rows] is scaled, NaN for missing. Errors: ATL-CMP-070."""
    values = column[~np.isnan(column)]
    if not len(values):
        return ScaledColumn(name=name, offset=0.0, divisor=1.0)
    lower, upper = _limits(values, name, parameters)
    if lower is not None or upper is not None:
        values = np.clip(values, lower, upper)
    low, high = float(values.min()), float(values.max())
    fate = parameters.convention == "fate"
    with np.errstate(over="ignore", invalid="ignore"):
        if parameters.method == "min-max":
            offset, divisor = low, high - low
        else:
            offset, divisor = _moments(values, low, high)
            if fate and divisor * divisor < FATE_VARIANCE:
                divisor = 0.0
            offset = offset if parameters.with_mean else 0.0
            divisor = divisor if parameters.with_std else 1.0
    if not (math.isfinite(offset) and math.isfinite(divisor)):
        raise DataError(
            "ATL-CMP-070",
            f"the values of column {name!r} are too far apart to be scaled",
            hint="set bounds, so that the outermost values are clipped",
        )
    if divisor == 0.0 or (fate and divisor < FATE_SPREAD):
        divisor = 1.0
    if fate:
        lower, upper = low, high
    return ScaledColumn(name=name, lower=lower, upper=upper, offset=offset, divisor=divisor)


def _limits(
    values: Floats, name: str, parameters: ScaleParameters
) -> tuple[float | None, float | None]:
    bounds = parameters.of(name)
    if parameters.bounds == "value":
        return bounds.lower, bounds.upper
    ordered = np.sort(values)
    exact = parameters.convention == "exact"
    lower, upper = (
        None if share is None else _quantile(ordered, share, exact=exact)
        for share in (bounds.lower, bounds.upper)
    )
    return lower, upper


def _quantile(ordered: Floats, share: float, *, exact: bool) -> float:
    """Return a quantile of sorted values: between two of them, or the nearer one, rather lower."""
    if exact:
        return float(np.quantile(ordered, share))
    return float(ordered[max(math.ceil(share * (len(ordered) - 1) - 0.5), 0)])


def _moments(values: Floats, low: float, high: float) -> tuple[float, float]:
    """Return mean and standard deviation (ddof 0), exact for equal values."""
    if low == high:
        return low, 0.0
    mean = float(values.mean())
    away = values - mean
    # Squares of very large or small distances leave the range of doubles.
    most = float(np.abs(away).max())
    return mean, most * math.sqrt(float(np.mean(np.square(away / most))))
