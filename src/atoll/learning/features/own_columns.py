"""What a party fits of each of its own columns alone has in common; nothing here communicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from atoll.core.errors import UserError
from atoll.jobs.schema import PARTY_LOCAL
from atoll.learning.features.statistics import ColumnName, floats

if TYPE_CHECKING:
    from atoll.table import Table

Floats = npt.NDArray[np.float64]
Bound = Annotated[float, Field(ge=-1e300, le=1e300)]
LineT = TypeVar("LineT")


class Bounds(BaseModel):
    """The bounds of one column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lower: Bound | None = Field(default=None, description="least value; empty: no bound")
    upper: Bound | None = Field(default=None, description="greatest value; empty: no bound")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        check_bounds(self.lower, self.upper)
        return self


def check_bounds(lower: float | None, upper: float | None, *, shares: bool = False) -> None:
    """Raise a ValueError for bounds that are not in order, or for shares beyond 0 and 1."""
    if lower is not None and upper is not None and lower > upper:
        raise ValueError("a lower bound is above the upper one")
    if shares and not all(bound is None or 0 <= bound <= 1 for bound in (lower, upper)):
        raise ValueError("shares of rows lie between 0 and 1")


class OwnColumns(BaseModel):
    """Which columns are changed; each party chooses for its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[ColumnName, ...] | None = Field(
        default=None,
        max_length=1 << 16,
        description="the columns of this party; empty: all features",
        json_schema_extra=PARTY_LOCAL,
    )

    def chosen(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return which of a table's features are changed, in its order."""
        wanted = {*(columns if self.columns is None else self.columns)}
        return tuple(name for name in columns if name in wanted)

    def named(self) -> tuple[str, ...]:
        """Return all columns that are named."""
        return self.columns or ()


def fit_columns(
    table: Table, parameters: OwnColumns, fit: Callable[[str, Floats], LineT]
) -> tuple[LineT, ...]:
    """Return what ``fit`` makes of the name and the float64[rows] of each chosen column, in order.

    Errors: ATL-TAB-002 no such feature.
    """
    for name in parameters.named():
        if name not in table.columns:
            raise no_column(name)
    names = parameters.chosen(table.columns)
    return tuple(table.engine.map(lambda name: fit(name, floats(table, name)), names))


def no_column(name: str) -> UserError:
    """Return the refusal of a column that is no feature of the table."""
    return UserError("ATL-TAB-002", f"there is no feature {name!r}", place="columns")
