"""Fits what stands in for missing values and outliers of a party's own columns.

Nothing here communicates with anyone. Numbers that stand for missing values come first, then
outliers are bounded, and then a statistic is taken of what is left:

- ``mean``, ``median`` (the mean of the two middle values), ``minimum``, ``maximum``;
- ``most_frequent``, the least of several; ``constant``, a given number; ``none``: nothing.

Outliers lie beyond bounds that are given as values, or as quantiles (linear interpolation); or
beyond the quartiles by ``times`` their distance ("iqr", Tukey's fences), or beyond the mean by
``times`` standard deviations (ddof 1). They become the bound, or are filled like missing values. A
column of which no value is left stays as it is, but for a constant.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from atoll.jobs.schema import PARTY_LOCAL
from atoll.learning.features.own_columns import Bound, OwnColumns, check_bounds, fit_columns
from atoll.learning.features.statistics import (
    ColumnName,
    StatisticsParameters,
    describe_column,
    quantile,
)
from atoll.models.imputation import MOST_ABSENT, FilledColumn, FillPart

if TYPE_CHECKING:
    from atoll.table import Table

Floats = npt.NDArray[np.float64]
Method = Literal["mean", "median", "minimum", "maximum", "most_frequent", "constant", "none"]
_DESCRIBED = StatisticsParameters(quantiles=())


class Filling(BaseModel):
    """How one column is filled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = Field(description="what a missing value becomes")
    constant: Bound | None = Field(default=None, description="the constant, for that method")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _check_constant(self.method, self.constant)
        return self


class ImputationParameters(OwnColumns):
    """Which columns are filled and how; each party chooses for its own."""

    method: Method = Field(
        default="mean", description="what a missing value becomes", json_schema_extra=PARTY_LOCAL
    )
    constant: Bound | None = Field(
        default=None, description="the constant, for that method", json_schema_extra=PARTY_LOCAL
    )
    by_column: dict[ColumnName, Filling] = Field(
        default_factory=dict,
        max_length=1 << 16,
        description="columns that are filled in another way",
        json_schema_extra=PARTY_LOCAL,
    )
    missing: tuple[Bound, ...] = Field(
        default=(),
        max_length=MOST_ABSENT,
        description="numbers that stand for a missing value, such as -999",
        json_schema_extra=PARTY_LOCAL,
    )
    bounds: Literal["none", "value", "quantile", "iqr", "deviation"] = Field(
        default="none",
        description="beyond what a value is an outlier: a value, a share of rows, the quartiles "
        "or the mean by some times their distance or the deviation",
        json_schema_extra=PARTY_LOCAL,
    )
    lower: Bound | None = Field(
        default=None,
        description="lower bound, as a value or share; empty: none",
        json_schema_extra=PARTY_LOCAL,
    )
    upper: Bound | None = Field(
        default=None,
        description="upper bound, as a value or share; empty: none",
        json_schema_extra=PARTY_LOCAL,
    )
    times: Annotated[float, Field(gt=0, le=1e6)] = Field(
        default=1.5,
        description="distances of the quartiles, or deviations",
        json_schema_extra=PARTY_LOCAL,
    )
    outliers: Literal["clip", "fill"] = Field(
        default="clip",
        description="whether outliers become the bound, or are filled",
        json_schema_extra=PARTY_LOCAL,
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _check_constant(self.method, self.constant)
        check_bounds(self.lower, self.upper, shares=self.bounds == "quantile")
        given = self.lower is not None or self.upper is not None
        if given != (self.bounds in ("value", "quantile")):
            raise ValueError("lower and upper go with bounds by value or quantile")
        return self

    def of(self, column: str) -> Filling:
        """Return how a column is filled."""
        common = Filling(method=self.method, constant=self.constant)
        return self.by_column.get(column, common)

    def named(self) -> tuple[str, ...]:
        """Return all columns that are named."""
        return tuple(dict.fromkeys((*(self.columns or ()), *self.by_column)))


def _check_constant(method: str, constant: float | None) -> None:
    if (constant is not None) != (method == "constant"):
        raise ValueError("a constant goes with the method of that name")


def fit(table: Table, party: str, parameters: ImputationParameters) -> FillPart:
    """Return how a party's columns are filled, in the table's order.

    Errors: ATL-TAB-002 no such feature, ATL-CMP-020 a value is infinite.
    """
    lines = fit_columns(
        table, parameters, lambda name, column: fit_column(name, column, parameters)
    )
    return FillPart(party=party, filled=lines)


def fit_column(name: str, column: Floats, parameters: ImputationParameters) -> FilledColumn:
    """Return how float64[rows] is filled, NaN for missing. Errors: ATL-CMP-020."""
    known = FilledColumn(name=name, absent=parameters.missing, outliers=parameters.outliers)
    lower, upper = limits(known.of(column), parameters)
    bounded = known.model_copy(update={"lower": lower, "upper": upper})
    value = _value(bounded.of(column), parameters.of(name))
    return bounded.model_copy(update={"value": value})


def limits(column: Floats, parameters: ImputationParameters) -> tuple[float | None, float | None]:
    """Return the bounds of float64[rows], NaN for missing; None: there is none.

    Bounds beyond what float64 holds are none. Errors: ATL-CMP-020 a value is infinite.
    """
    if parameters.bounds in ("none", "value"):
        return parameters.lower, parameters.upper
    found = describe_column(column, _DESCRIBED)
    if not found.count:
        return None, None
    values = np.sort(column[~np.isnan(column)])
    if parameters.bounds == "quantile":
        shares = (parameters.lower, parameters.upper)
        lower, upper = (None if share is None else quantile(values, share) for share in shares)
        return lower, upper
    if parameters.bounds == "iqr":
        low, high = quantile(values, 0.25), quantile(values, 0.75)
        away = parameters.times * (high - low)
    else:
        low = high = found.mean or 0.0
        away = math.inf if found.std is None else parameters.times * found.std
    lower, upper = low - away, high + away
    return lower if math.isfinite(lower) else None, upper if math.isfinite(upper) else None


def _value(column: Floats, filling: Filling) -> float | None:
    if filling.method in ("constant", "none"):
        return filling.constant
    found = describe_column(column, _DESCRIBED)
    if not found.count or filling.method != "most_frequent":
        known = {"mean": found.mean, "median": found.median}
        return (known | {"minimum": found.minimum, "maximum": found.maximum}).get(filling.method)
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    return float(values[np.argmax(counts)])
