"""Statistics of each column of a party's own table; nothing here communicates with anyone.

Counts, least and greatest value, quantiles and the number of distinct values are exact; moments are
taken about the mean in double precision, so that a large offset costs no digits. Integers beyond
2^53 count as their nearest double.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from atoll.core.errors import DataError, UserError
from atoll.jobs.schema import PARTY_LOCAL

if TYPE_CHECKING:
    from atoll.table import Table

Floats = npt.NDArray[np.float64]
ColumnName = Annotated[str, Field(max_length=256)]
Quantile = Annotated[float, Field(ge=0, le=1)]

# Beyond these sizes the fourth power leaves the range of doubles, so the column is scaled first.
_LARGE, _SMALL = 1e70, 1e-70


class StatisticsParameters(BaseModel):
    """Which columns are described and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[ColumnName, ...] | None = Field(
        default=None,
        max_length=1 << 16,
        description="the columns of this party; empty: all features",
        json_schema_extra=PARTY_LOCAL,
    )
    label: bool = Field(
        default=False,
        description="describe the label, too, where there is one",
        json_schema_extra=PARTY_LOCAL,
    )
    quantiles: tuple[Quantile, ...] = Field(
        default=(0.05, 0.25, 0.5, 0.75, 0.95),
        max_length=99,
        description="shares of rows below which a quantile is given, between 0 and 1",
        json_schema_extra=PARTY_LOCAL,
    )
    distinct_limit: int = Field(
        default=1000,
        ge=1,
        le=1 << 31,
        description="distinct values are counted up to here",
        json_schema_extra=PARTY_LOCAL,
    )
    ddof: int = Field(
        default=1, ge=0, le=1, description="1: sample standard deviation, 0: that of all rows"
    )
    unbiased: bool = Field(
        default=False, description="correct skewness and kurtosis for the size of the sample"
    )

    @field_validator("quantiles")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a quantile is given twice")
        return tuple(sorted(value))


@dataclass(frozen=True)
class ColumnStatistics:
    """One column: None stands for what its values do not determine (or exceeds double range).

    ``kurtosis`` is that above the normal distribution's; ``distinct`` stops at the limit, and
    ``distinct_limited`` is set.
    """

    count: int
    missing: int
    mean: float | None
    std: float | None
    minimum: float | None
    maximum: float | None
    median: float | None
    quantiles: dict[str, float]
    distinct: int
    distinct_limited: bool
    skewness: float | None
    kurtosis: float | None
    constant: bool

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form."""
        return asdict(self)


def describe_table(table: Table, parameters: StatisticsParameters) -> dict[str, ColumnStatistics]:
    """Return the statistics of a table's columns, in their order.

    Errors: ATL-TAB-002 no such column, ATL-CMP-021 the id column is none of numbers.
    """
    names = list(table.columns if parameters.columns is None else parameters.columns)
    if table.id_name in names:
        raise UserError("ATL-CMP-021", "the id column has no statistics", place="columns")
    if parameters.label and table.label_name:
        names.append(table.label_name)
    names = list(dict.fromkeys(names))
    found = table.engine.map(lambda name: describe_column(floats(table, name), parameters), names)
    return dict(zip(names, found, strict=True))


def floats(table: Table, name: str) -> Floats:
    """Return a column as float64[rows], NaN where missing. Errors: ATL-TAB-002."""
    values = table.column(name).to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)


def describe_column(column: Floats, parameters: StatisticsParameters) -> ColumnStatistics:
    """Return the statistics of float64[rows], NaN where missing. Errors: ATL-CMP-020 infinite."""
    absent = np.isnan(column)
    missing = int(np.count_nonzero(absent))
    values = np.sort(column[~absent] if missing else column)
    if not len(values):
        return _empty(missing)
    low, high = float(values[0]), float(values[-1])
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(
            "ATL-CMP-020",
            "a column holds an infinite value",
            hint="use an empty field for missing values",
        )
    distinct = 1 + int(np.count_nonzero(values[1:] != values[:-1]))
    mean, std, skewness, kurtosis = _moments(values, parameters)
    return ColumnStatistics(
        count=len(values),
        missing=missing,
        mean=mean,
        std=std,
        minimum=low,
        maximum=high,
        median=quantile(values, 0.5),
        quantiles={f"{share:g}": quantile(values, share) for share in parameters.quantiles},
        distinct=min(distinct, parameters.distinct_limit),
        distinct_limited=distinct > parameters.distinct_limit,
        skewness=skewness,
        kurtosis=kurtosis,
        constant=distinct == 1,
    )


def _empty(missing: int) -> ColumnStatistics:
    return ColumnStatistics(
        count=0,
        missing=missing,
        mean=None,
        std=None,
        minimum=None,
        maximum=None,
        median=None,
        quantiles={},
        distinct=0,
        distinct_limited=False,
        skewness=None,
        kurtosis=None,
        constant=True,
    )


def quantile(ordered: Floats, share: float) -> float:
    """Return the linear interpolation between the two nearest of the ordered values."""
    place = (len(ordered) - 1) * share
    below = int(place)
    part = place - below
    low = float(ordered[below])
    if part == 0:
        return low
    high = float(ordered[below + 1])
    # Weights instead of a difference: that of two large values may leave the range of doubles.
    return low if low == high else low * (1 - part) + high * part


def _moments(
    ordered: Floats, parameters: StatisticsParameters
) -> tuple[float, float | None, float | None, float | None]:
    """Return mean, standard deviation, skewness and excess kurtosis of ordered values."""
    low, high, count = float(ordered[0]), float(ordered[-1]), len(ordered)
    if low == high:
        return low, _known(0.0, count > parameters.ddof), None, None
    largest = max(abs(low), abs(high))
    scale = largest if largest > _LARGE or high - low < _SMALL else 1.0
    values = ordered / scale if scale != 1.0 else ordered
    mean = float(values.mean())
    centred = values - mean
    spread = float(np.abs(centred).max())
    if spread == 0:  # the scaled values cannot be distinguished
        return mean * scale, 0.0, None, None
    centred /= spread
    square = centred * centred
    second = float(square.mean())
    third = float((square * centred).mean()) / second**1.5
    fourth = float((square * square).mean()) / second**2
    deviation = float(np.sqrt(second * count / (count - parameters.ddof)) * spread) * scale
    skewness, kurtosis = _shape(third, fourth, count, parameters.unbiased)
    mean = min(max(mean * scale, low), high)
    return mean, _known(deviation, np.isfinite(deviation)), skewness, kurtosis


def _shape(
    third: float, fourth: float, count: int, unbiased: bool
) -> tuple[float | None, float | None]:
    """Return skewness and excess kurtosis, corrected for the sample's size if asked for."""
    if not unbiased:
        return third, fourth - 3.0
    skewness = third * np.sqrt(count * (count - 1)) / (count - 2) if count > 2 else None
    if count <= 3:
        return _number(skewness), None
    kurtosis = ((count + 1) * (fourth - 3.0) + 6.0) * (count - 1) / ((count - 2) * (count - 3))
    return _number(skewness), float(kurtosis)


def _known(value: float, known: bool | np.bool_) -> float | None:
    return value if known else None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
