"""Boosted trees as data and as bytes, and their predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from atoll.core import codec
from atoll.core.errors import AtollError, UserError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
TYPE = "atoll/forest/v1"
PART_BYTES = 1 << 28
MOST_NODES = 1 << 22
_NAME_BYTES = 256
_FEW_ROWS = 1 << 14
# The arrays of all trees, in the order in which they are written, with their formats.
ARRAYS = {
    "column": "<i4",
    "threshold": "<f8",
    "missing_left": "|u1",
    "weight": "<f8",
    "gain": "<f8",
    "rows": "<i8",
}


class ForestSpec(BaseModel):
    """``trees`` full trees of each output, of ``depth`` levels of splits.

    The sum of a row's leaves is its margin: of ``logistic`` the log-odds of label 1, of ``squared``
    the value itself, of ``softmax`` one margin for each of ``classes``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: Literal["logistic", "squared", "softmax"]
    classes: Annotated[int, Field(ge=2, le=256)] = 2
    trees: int = Field(ge=0, le=1 << 16)
    depth: int = Field(ge=1, le=10)

    @model_validator(mode="after")
    def _not_too_large(self) -> Self:
        if self.size > MOST_NODES:
            raise ValueError(f"a model has at most {MOST_NODES} nodes")
        return self

    @property
    def outputs(self) -> int:
        """Margins of a row."""
        return self.classes if self.loss == "softmax" else 1

    @property
    def nodes(self) -> int:
        """Nodes of a full tree."""
        return (2 << self.depth) - 1

    @property
    def size(self) -> int:
        """Nodes of all trees."""
        return self.trees * self.outputs * self.nodes


@dataclass(frozen=True, eq=False)
class ForestPart:
    """The whole model, as each party of its training keeps it.

    ``base`` float64[outputs] is what every row starts from. ``arrays`` are by the names of
    ``ARRAYS``, [size] each: tree by tree, of each round those of all outputs, node 0 the root,
    2i + 1 and 2i + 2 the children of i. ``column`` is -1 where a row stops. A row goes left if its
    value is below ``threshold``, a missing one if ``missing_left``; ``weight`` is what a leaf adds.
    ``gain`` is what a split brought in training, ``rows`` the training rows that came to a node.
    """

    party: str
    columns: tuple[str, ...]
    spec: ForestSpec
    base: Floats
    arrays: Mapping[str, npt.NDArray[Any]]

    def __eq__(self, other: object) -> bool:
        """Return whether another part is of the same party, columns, form and trees."""
        return encode(self) == encode(other) if isinstance(other, ForestPart) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def predict(self, rows: npt.NDArray[np.floating]) -> Floats:
        """Return predictions of float[n, columns], NaN for missing: float64[n], or [n, classes]."""
        found = [self._some(rows[at : at + _FEW_ROWS]) for at in range(0, len(rows), _FEW_ROWS)]
        margins = np.concatenate([np.empty((self.spec.outputs, 0)), *found], axis=1)
        if self.spec.loss == "squared":
            values: Floats = margins[0]
            return values
        if self.spec.loss == "logistic":
            return _probability(margins[0])
        shares = np.exp(margins - margins.max(axis=0))
        return np.ascontiguousarray((shares / shares.sum(axis=0)).T)

    def _some(self, rows: npt.NDArray[np.floating]) -> Floats:
        """Return the margins of a few rows, float64[outputs, n]."""
        spec, at = self.spec, np.arange(len(rows))
        values = np.asarray(rows, dtype=np.float64)
        absent = np.isnan(values)
        margins = np.repeat(self.base[:, np.newaxis], len(rows), axis=1)
        trees = {name: array.reshape(-1, spec.nodes) for name, array in self.arrays.items()}
        for tree in range(spec.trees * spec.outputs):
            column, threshold = trees["column"][tree], trees["threshold"][tree]
            missing_left = trees["missing_left"][tree].astype(bool)
            node = np.zeros(len(rows), dtype=np.int64)
            for _ in range(spec.depth):
                chosen = column[node]
                tested = np.maximum(chosen, 0)
                left = np.where(
                    absent[at, tested], missing_left[node], values[at, tested] < threshold[node]
                )
                node = np.where(chosen >= 0, 2 * node + 2 - left, node)
            margins[tree % spec.outputs] += trees["weight"][tree][node]
        return margins


def _probability(margins: Floats) -> Floats:
    with np.errstate(over="ignore"):
        found: Floats = 1.0 / (1.0 + np.exp(-margins))
    return found


def encode(part: ForestPart) -> bytes:
    """Return the part as canonical bytes: equal parts have equal bytes."""
    arrays = [np.ascontiguousarray(part.arrays[n], form).tobytes() for n, form in ARRAYS.items()]
    base = np.ascontiguousarray(part.base, "<f8").tobytes()
    spec = part.spec.model_dump(mode="json")
    return codec.encode([TYPE, part.party, list(part.columns), spec, base, arrays])


def decode(data: bytes) -> ForestPart:
    """Read what ``encode`` wrote. Errors: ATL-MOD-001 for anything else."""
    try:
        value = codec.decode(data, limit=PART_BYTES)
        if type(value) is not list or len(value) != 6 or value[0] != TYPE:
            raise ValueError("another type")
        _, party, columns, plain, base, arrays = value
        _check_names(party, columns)
        spec = ForestSpec.model_validate(plain)
        part = ForestPart(
            party,
            tuple(columns),
            spec,
            _array(base, "<f8", spec.outputs),
            {
                name: _array(entry, form, spec.size)
                for (name, form), entry in zip(ARRAYS.items(), _listed(arrays), strict=True)
            },
        )
        check(part)
    except (AtollError, ValidationError, ValueError) as error:
        raise UserError("ATL-MOD-001", "these are not boosted trees") from error
    return part


def check(part: ForestPart) -> None:
    """Refuse trees whose splits are of no column, or below the last level. Errors: ValueError."""
    spec, arrays = part.spec, part.arrays
    column = arrays["column"].reshape(-1, spec.nodes)
    if (column < -1).any() or (column >= len(part.columns)).any():
        raise ValueError("a split tests a column that does not exist")
    if (column[:, spec.nodes // 2 :] >= 0).any():
        raise ValueError("a tree is deeper than the model")
    if not all(np.isfinite(arrays[name]).all() for name in ("threshold", "weight", "gain")):
        raise ValueError("a value is not finite")
    if not np.isfinite(part.base).all() or (arrays["rows"] < 0).any():
        raise ValueError("a value is not finite, or below none")
    if (arrays["missing_left"] > 1).any():
        raise ValueError("a side is neither left nor right")


def _check_names(party: object, columns: object) -> None:
    if type(party) is not str or not 0 < len(party) <= _NAME_BYTES:
        raise ValueError("no party")
    if type(columns) is not list or any(type(name) is not str for name in columns):
        raise ValueError("columns are no names")
    if not columns or len(set(columns)) != len(columns):
        raise ValueError("columns are missing, or named twice")


def _listed(arrays: object) -> list[object]:
    if type(arrays) is not list or len(arrays) != len(ARRAYS):
        raise ValueError("other arrays")
    return arrays


def _array(data: object, form: str, size: int) -> npt.NDArray[Any]:
    kind = np.dtype(form)
    if type(data) is not bytes or len(data) != size * kind.itemsize:
        raise ValueError("another number of values")
    return np.frombuffer(data, kind).copy()


def rename(part: ForestPart, names: Mapping[str, str]) -> ForestPart:
    """Return the part with another party id."""
    return replace(part, party=names.get(part.party, part.party))
