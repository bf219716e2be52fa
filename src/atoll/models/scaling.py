"""A party's fitted scaling of its own columns, as data, and what it does to a column's values."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from atoll.core.errors import DataError
from atoll.core.report import Panel, TablePanel
from atoll.models.kinds import ModelKind
from atoll.models.own_part import decoder, encoded, rename

Floats = npt.NDArray[np.float64]
PART_BYTES = 64 << 20
SHOWN = 200


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScaledColumn(_Data):
    """One column: a value is clipped to ``lower`` and ``upper``, then (value - offset) / divisor.

    None: not clipped on that side. ``missing`` stands in for a missing value before that; None: it
    stays missing.
    """

    name: str = Field(min_length=1, max_length=256)
    lower: FiniteFloat | None = None
    upper: FiniteFloat | None = None
    offset: FiniteFloat
    divisor: FiniteFloat = Field(gt=0)
    missing: FiniteFloat | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError("the lower bound is above the upper one")
        return self


class ScalePart(_Data):
    """What a party keeps of a fit: one line for each column that is scaled."""

    kind: Literal["scale.part"] = "scale.part"
    version: Literal[1] = 1
    party: str = Field(min_length=1, max_length=63)
    scaled: tuple[ScaledColumn, ...] = Field(max_length=1 << 16)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.columns)) != len(self.scaled):
            raise ValueError("a column is scaled twice")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.scaled)


def scaled(column: ScaledColumn, values: Floats) -> Floats:
    """Return float64[rows] scaled; missing values (NaN) stay missing unless one stands in for them.

    Errors: ATL-CMP-071 a result is beyond what float64 holds.
    """
    made = values
    if column.missing is not None:
        made = np.where(np.isnan(made), column.missing, made)
    if column.lower is not None or column.upper is not None:
        made = np.clip(made, column.lower, column.upper)
    with np.errstate(over="ignore"):
        made = (made - column.offset) / column.divisor
    if np.isinf(made).any():
        raise DataError(
            "ATL-CMP-071",
            f"a value of column {column.name!r} is too far from those of the fit",
            hint="set bounds, so that such values are clipped",
        )
    return made


def part_to_bytes(part: ScalePart) -> bytes:
    """Return the part as JSON with sorted keys: equal parts have equal bytes."""
    plain = part.model_dump(mode="json")
    for column in plain["scaled"]:
        # Parts from before there was this field keep their bytes.
        if column["missing"] is None:
            del column["missing"]
    return encoded(plain)


part_from_bytes = decoder(ScalePart, "a fitted scaling")


def card(part: ScalePart) -> tuple[Panel, ...]:
    """Return what was fitted, a line for each column."""
    lines = tuple(
        (column.name, column.lower, column.upper, column.offset, column.divisor, column.missing)
        for column in part.scaled[:SHOWN]
    )
    names = ("column", "lower", "upper", "offset", "divisor", "missing")
    return (TablePanel(title="Scaling", columns=names, rows=lines),)


SCALE_TRANSFORM = ModelKind(
    name="scale.transform",
    parts=(ScalePart,),
    encode=part_to_bytes,
    decode=part_from_bytes,
    most_bytes=PART_BYTES,
    party=lambda part: part.party,
    columns=lambda part: part.columns,
    # Each party scales its own columns, whoever else is there.
    fits=lambda part, roles: part.party in roles,
    rename=rename,
    card=card,
    changes=lambda part, columns: {
        column.name: scaled(column, columns[column.name]) for column in part.scaled
    },
)
