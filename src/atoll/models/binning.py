"""The bins of columns that were fitted together, as data, and what becomes of a column's values."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from atoll.core.report import Panel, TablePanel
from atoll.models.kinds import ModelKind
from atoll.models.own_part import decoder, encode, rename

Floats = npt.NDArray[np.float64]
PART_BYTES = 256 << 20
MOST = 1 << 8
SHOWN = 200


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BinnedColumn(_Data):
    """One column: a value in bin c becomes ``values[c]``.

    It lies in bin c if exactly c ``thresholds``, which ascend, are at most the value. ``missing``
    stands in for a missing value; None: it stays missing.
    """

    name: str = Field(min_length=1, max_length=256)
    thresholds: tuple[FiniteFloat, ...] = Field(max_length=MOST)
    values: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=MOST + 1)
    missing: FiniteFloat | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.values) != len(self.thresholds) + 1:
            raise ValueError("there is one bin more than thresholds")
        if any(
            high <= low for low, high in zip(self.thresholds, self.thresholds[1:], strict=False)
        ):
            raise ValueError("thresholds ascend")
        return self

    def of(self, column: Floats) -> Floats:
        """Return what stands for each value, float64[rows]; NaN is missing, here and there."""
        absent = np.nan if self.missing is None else self.missing
        known = np.isnan(column)
        code = np.searchsorted(np.array(self.thresholds), column, side="right")
        code[known] = len(self.values)
        found: Floats = np.array([*self.values, absent], dtype=np.float64)[code]
        return found


class BinPart(_Data):
    """What a party keeps of a fit: one line for each column that is binned."""

    kind: Literal["binning.part"] = "binning.part"
    version: Literal[1] = 1
    party: str = Field(min_length=1, max_length=63)
    binned: tuple[BinnedColumn, ...] = Field(max_length=1 << 16)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.columns)) != len(self.binned):
            raise ValueError("a column is binned twice")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.binned)


def card(part: BinPart) -> tuple[Panel, ...]:
    """Return what was fitted, a line for each bin; "missing" where a value is put for it."""
    lines: list[tuple[str, str, float | None, float | None, float]] = []
    for column in part.binned:
        ends = (None, *column.thresholds, None)
        bins = zip(ends, ends[1:], column.values, strict=False)
        lines += [(column.name, str(at), *line) for at, line in enumerate(bins)]
        if column.missing is not None:
            lines.append((column.name, "missing", None, None, column.missing))
        if len(lines) > SHOWN:
            break
    names = ("column", "bin", "at least", "below", "becomes")
    return (TablePanel(title="Bins", columns=names, rows=tuple(lines[:SHOWN])),)


BINNING_TRANSFORM = ModelKind(
    name="horizontal_binning.transform",
    parts=(BinPart,),
    encode=encode,
    decode=decoder(BinPart, "fitted bins"),
    most_bytes=PART_BYTES,
    party=lambda part: part.party,
    columns=lambda part: part.columns,
    # Each party changes its own columns, whoever else is there.
    fits=lambda part, roles: part.party in roles,
    rename=rename,
    card=card,
    changes=lambda part, columns: {
        column.name: column.of(columns[column.name]) for column in part.binned
    },
)
