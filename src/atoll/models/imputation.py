"""What a party put in place of missing values and outliers of its own columns, as data."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from atoll.core.report import Panel, TablePanel
from atoll.models.kinds import ModelKind
from atoll.models.own_part import decoder, encode, rename

Floats = npt.NDArray[np.float64]
PART_BYTES = 64 << 20
MOST_ABSENT = 256
SHOWN = 200


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FilledColumn(_Data):
    """One column: ``value`` stands in for a missing value; None: it stays missing.

    Values that are one of ``absent`` are missing, too. Those below ``lower`` or above ``upper``
    (None: no bound) become the bound (``clip``), or are missing as well (``fill``).
    """

    name: str = Field(min_length=1, max_length=256)
    value: FiniteFloat | None = None
    absent: tuple[FiniteFloat, ...] = Field(default=(), max_length=MOST_ABSENT)
    lower: FiniteFloat | None = None
    upper: FiniteFloat | None = None
    outliers: Literal["clip", "fill"] = "clip"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError("the lower bound is above the upper one")
        return self

    def of(self, column: Floats) -> Floats:
        """Return float64[rows] filled; NaN is missing, here and there."""
        lower = -math.inf if self.lower is None else self.lower
        upper = math.inf if self.upper is None else self.upper
        gone = np.isnan(column) | np.isin(column, self.absent)
        if self.outliers == "fill":
            gone |= (column < lower) | (column > upper)
        value = math.nan if self.value is None else self.value
        return np.where(gone, value, np.clip(column, lower, upper))


class FillPart(_Data):
    """What a party keeps of a fit: one line for each column that is filled."""

    kind: Literal["imputation.part"] = "imputation.part"
    version: Literal[1] = 1
    party: str = Field(min_length=1, max_length=63)
    filled: tuple[FilledColumn, ...] = Field(max_length=1 << 16)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.columns)) != len(self.filled):
            raise ValueError("a column is filled twice")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.filled)


def card(part: FillPart) -> tuple[Panel, ...]:
    """Return what was fitted, a line for each column."""
    lines = tuple(
        (line.name, line.value, len(line.absent), line.lower, line.upper, line.outliers)
        for line in part.filled[:SHOWN]
    )
    names = ("column", "value", "numbers that are missing", "lower", "upper", "outliers")
    return (TablePanel(title="Imputation", columns=names, rows=lines),)


IMPUTATION_TRANSFORM = ModelKind(
    name="imputation.transform",
    parts=(FillPart,),
    encode=encode,
    decode=decoder(FillPart, "a fitted imputation"),
    most_bytes=PART_BYTES,
    party=lambda part: part.party,
    columns=lambda part: part.columns,
    # Each party fills its own columns, whoever else is there.
    fits=lambda part, roles: part.party in roles,
    rename=rename,
    card=card,
    changes=lambda part, columns: {
        column.name: column.of(columns[column.name]) for column in part.filled
    },
)
