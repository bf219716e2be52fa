"""Which columns of a table a part of a model takes: by name, never by position."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
SHOWN = 5


@dataclass(frozen=True)
class ColumnMatch:
    """Where a part's columns stand in a table, int64[columns], and the table's other columns."""

    positions: Integers
    unused: tuple[str, ...]

    def take(self, features: Floats) -> Floats:
        """Return the part's columns of float64[rows, given], float64[rows, columns].

        Nothing is copied where they stand in order already.
        """
        if not self.unused and np.array_equal(self.positions, np.arange(features.shape[1])):
            return features
        return features[:, self.positions]


def match_columns(
    trained: Sequence[str], given: Sequence[str], *, place: str | None = None
) -> ColumnMatch:
    """Find the columns that a part was trained on among those that a table has.

    ``given`` may have more, in any order. Errors: ATL-MOD-003 columns are missing (the hint names
    what the part does not know, the likeliest new names first), or a name occurs twice.
    """
    at = {name: number for number, name in enumerate(given)}
    if len(at) != len(given):
        twice = [name for number, name in enumerate(given) if at[name] != number]
        raise UserError(
            "ATL-MOD-003", f"a column's name occurs twice: {listed(twice)}", place=place
        )
    known = set(trained)
    missing = tuple(name for name in trained if name not in at)
    unused = tuple(name for name in given if name not in known)
    if missing:
        raise UserError(
            "ATL-MOD-003",
            f"columns of the model are missing: {listed(missing)}",
            place=place,
            hint=_hint(missing, unused),
        )
    return ColumnMatch(np.array([at[name] for name in trained], dtype=np.int64), unused)


def listed(names: Sequence[str]) -> str:
    """Return the first names in words, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _hint(missing: Sequence[str], unused: Sequence[str]) -> str:
    if not unused:
        return "columns go by name; the table has no others"
    forms = {unicodedata.normalize("NFC", name) for name in unused}
    if any(unicodedata.normalize("NFC", name) in forms for name in missing):
        return "columns go by name; one looks like it but has another Unicode form (NFC and NFD)"
    # A renamed column is the usual cause.
    near = [difflib.get_close_matches(name, unused, n=1) for name in missing[:SHOWN]]
    ordered = tuple(dict.fromkeys((*(name for found in near for name in found), *unused)))
    return f"columns go by name; the model does not know {listed(ordered)}"
