"""Which columns are kept, by figures that others computed; each refusal has its reason.

A figure is a number a column: its information value, stability, inflation, importance in a tree
model, or a statistic. It does not matter who computed it, or whose the column is: a host's columns
stand here under the names that the guest knows. A column without the figure (none, NaN) is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError
from atoll.learning.features.statistics import ColumnStatistics

Floats = npt.NDArray[np.float64]
Figures = Mapping[str, float | None]
Keep = Literal["at least", "above", "at most", "below"]
_KEEPS: Mapping[Keep, Callable[[float, float], bool]] = {
    "at least": lambda figure, bound: figure >= bound,
    "above": lambda figure, bound: figure > bound,
    "at most": lambda figure, bound: figure <= bound,
    "below": lambda figure, bound: figure < bound,
}


@dataclass(frozen=True)
class Selection:
    """The columns that are kept, in their order, and why each other one is not."""

    kept: tuple[str, ...]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class Threshold:
    """Keeps a column if its figure is at least (above, at most, below) the bound."""

    figure: str
    keep: Keep
    bound: float

    def refuses(self, value: float | None) -> str:
        """Return why a column of this figure is not kept; empty: it is."""
        if value is None or math.isnan(value):
            return f"{self.figure} is not known"
        if _KEEPS[self.keep](value, self.bound):
            return ""
        return f"{self.figure} {value:.6g} is not {self.keep} {self.bound:g}"


# FATE's filters by a bound, under its names and with its defaults; "missing share" and other
# statistics go by ``statistic_filter`` there.
FATE_FILTERS: Mapping[str, Threshold] = {
    "unique_value": Threshold("range", "at least", 1e-5),
    "iv_filter": Threshold("iv", "at least", 1.0),
    "iv_value_thres": Threshold("iv", "above", 0.0),
    "statistic_filter": Threshold("mean", "at least", 1.0),
    "psi_filter": Threshold("psi", "at most", 1.0),
    "vif_filter": Threshold("vif", "at most", 5.0),
    "coefficient_of_variation_value_thres": Threshold("coefficient of variation", "at least", 1.0),
    "outlier_cols": Threshold("quantile", "below", 1.0),
    "percentage_value": Threshold("most frequent share", "at most", 1.0),
    "hetero_sbt_filter": Threshold("feature importance", "at least", 1.0),
    "homo_sbt_filter": Threshold("feature importance", "at least", 1.0),
    "hetero_fast_sbt_filter": Threshold("feature importance", "at least", 1.0),
}


def by_threshold(columns: Sequence[str], figures: Figures, threshold: Threshold) -> Selection:
    """Keep the columns whose figures keep to a bound."""
    reasons = {name: threshold.refuses(figures.get(name)) for name in columns}
    return _selection(columns, {name: reason for name, reason in reasons.items() if reason})


def by_name(
    columns: Sequence[str], *, keep: Sequence[str] | None = None, leave_out: Sequence[str] = ()
) -> Selection:
    """Keep the named columns (None: all) that are not left out. Errors: ATL-FEA-006 no such one."""
    for name in (*(keep or ()), *leave_out):
        if name not in columns:
            raise UserError(
                "ATL-FEA-006", f"there is no column {name!r} to select", place="columns"
            )
    refused = dict.fromkeys(leave_out, "left out by name")
    if keep is not None:
        refused |= {name: "not named" for name in columns if name not in keep}
    return _selection(columns, refused)


def by_rank(
    columns: Sequence[str], figures: Figures, most: int, *, what: str, greatest: bool = True
) -> Selection:
    """Keep the ``most`` columns of the greatest (or least) figures, the earlier one of equals."""
    order = ordered(columns, figures, greatest=greatest)
    kept, side = {*order[:most]}, "greatest" if greatest else "least"
    reason = f"{what} is not among the {most} {side}"
    return _selection(columns, {name: reason for name in columns if name not in kept})


def by_share(
    columns: Sequence[str], figures: Figures, share: float, *, what: str, greatest: bool = True
) -> Selection:
    """Keep a share of the columns, by rank: ceil(share · columns) of them."""
    most = math.ceil(share * len(columns) - 1e-9)
    return by_rank(columns, figures, most, what=what, greatest=greatest)


def by_correlation(
    columns: Sequence[str], figures: Figures, matrix: Floats, threshold: float
) -> Selection:
    """Keep columns, those of greater figures first, that no kept one is correlated with.

    ``matrix`` float64[columns, columns], of the same columns, NaN counts as none; ``threshold`` is
    the greatest absolute correlation. FATE takes the information value as the figure.
    """
    if matrix.shape != (len(columns), len(columns)):
        raise UserError("ATL-FEA-003", "this is no matrix of the correlations of these columns")
    at = {name: number for number, name in enumerate(columns)}
    size = np.nan_to_num(np.abs(matrix))
    taken: list[int] = []
    refused: dict[str, str] = {}
    for name in ordered(columns, figures):
        near = size[at[name], taken]
        if len(taken) and near.max() > threshold:
            other = columns[taken[int(near.argmax())]]
            refused[name] = f"correlation {near.max():.6g} with {other!r} is above {threshold:g}"
        else:
            taken.append(at[name])
    rest = {name: "its figure is not known" for name in columns if not _known(figures, name)}
    return _selection(columns, refused | rest)


def with_one(selection: Selection, figures: Figures, *, greatest: bool = True) -> Selection:
    """Return a selection that keeps the column of the best figure if it kept none, as FATE does.

    ``greatest``: whether a greater figure is better.
    """
    best = () if selection.kept else ordered(tuple(selection.refused), figures, greatest=greatest)
    if not best:
        return selection
    rest = {name: reason for name, reason in selection.refused.items() if name != best[0]}
    return Selection(best[:1], rest)


def in_turn(
    columns: Sequence[str], filters: Sequence[Callable[[Sequence[str]], Selection]]
) -> Selection:
    """Apply filters one after another, each to what those before it kept."""
    kept, refused = tuple(columns), dict[str, str]()
    for chosen in filters:
        found = chosen(kept)
        kept = found.kept
        refused |= found.refused
    return Selection(kept, refused)


def merged(by_class: Sequence[float], how: Literal["average", "max", "min"]) -> float:
    """Return one figure of those of each class, of a column with labels of several classes."""
    if how == "average":
        return float(np.mean(by_class))
    return max(by_class) if how == "max" else min(by_class)


def of_statistics(found: ColumnStatistics) -> dict[str, float | None]:
    """Return the figures of a column that its statistics determine, by name.

    "range" is the greatest less the least value, "coefficient of variation" |deviation / mean|
    (infinite for a mean of 0), "missing share" that of all rows.
    """
    rows = found.count + found.missing
    spread, variation = None, None
    if found.minimum is not None and found.maximum is not None:
        spread = found.maximum - found.minimum
    if found.mean is not None and found.std is not None:
        variation = abs(found.std / found.mean) if found.mean else math.inf
    return {
        "mean": found.mean,
        "std": found.std,
        "median": found.median,
        "minimum": found.minimum,
        "maximum": found.maximum,
        "skewness": found.skewness,
        "kurtosis": found.kurtosis,
        "range": spread,
        "coefficient of variation": variation,
        "missing share": found.missing / rows if rows else None,
    }


def most_frequent_share(column: Floats) -> float | None:
    """Return the share of rows, of float64[rows], that have the most frequent value.

    Missing values (NaN) are rows, but no value; None: there is no value.
    """
    counts = np.unique(column[~np.isnan(column)], return_counts=True)[1]
    return float(counts.max() / len(column)) if len(counts) else None


def ordered(columns: Sequence[str], figures: Figures, *, greatest: bool = True) -> tuple[str, ...]:
    """Return the columns that have a figure, the greatest (or least) first."""
    known = [name for name in columns if _known(figures, name)]
    sign = -1.0 if greatest else 1.0
    return tuple(sorted(known, key=lambda name: sign * (figures[name] or 0.0)))


def _known(figures: Figures, name: str) -> bool:
    value = figures.get(name)
    return value is not None and not math.isnan(value)


def _selection(columns: Sequence[str], refused: Mapping[str, str]) -> Selection:
    return Selection(tuple(name for name in columns if name not in refused), dict(refused))
