"""A trained network as data and as bytes, and its predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.models.network.conv import block_of
from atoll.models.network.spec import NetworkSpec

Floats = npt.NDArray[np.float64]
TYPE = "atoll/network/v1"
PART_BYTES = 1 << 30
_NAME_BYTES = 256
_FEW_ROWS = 1 << 14


@dataclass(frozen=True, eq=False)
class NetworkPart:
    """The whole model, as each party of its training keeps it.

    ``columns`` are the names of the inputs in their order, ``weights`` float32[spec.size].
    """

    party: str
    columns: tuple[str, ...]
    spec: NetworkSpec
    weights: npt.NDArray[np.float32]

    def __eq__(self, other: object) -> bool:
        """Return whether another part is of the same party, columns, form and weights."""
        if not isinstance(other, NetworkPart):
            return NotImplemented
        mine, theirs = ((p.party, p.columns, p.spec) for p in (self, other))
        return mine == theirs and np.array_equal(self.weights, other.weights)

    __hash__ = None  # type: ignore[assignment]

    def predict(self, rows: npt.NDArray[np.floating]) -> Floats:
        """Return predictions, float64[rows] or float64[rows, classes], of rows float[n, columns].

        A missing value (NaN) makes a row's prediction NaN.
        """
        few = min(_FEW_ROWS, block_of(self.spec.stages))
        found = [self._some(rows[at : at + few]) for at in range(0, len(rows), few)]
        whole = np.concatenate(found) if found else np.empty((0, self.spec.width))
        return whole if self.spec.family == "softmax" else whole[:, 0]

    def _some(self, rows: npt.NDArray[np.floating]) -> Floats:
        pairs, values = self._pairs(), rows.astype(np.float32)
        layers = self.spec.stages
        if self.spec.image is not None:
            images = values.reshape(-1, *self.spec.image)
            for stage, (kernel, shift) in zip(layers, pairs, strict=False):
                images = stage.pool(stage.convolve(stage.patches(images), kernel, shift))
            values = images.reshape(len(rows), -1)
        for i, (weight, bias) in enumerate(pairs[len(layers) :]):
            if i:
                # A value that is missing stays missing.
                np.maximum(values, 0, out=values)
            values = values @ weight + bias
        if layers:
            # No layer need have used a pixel at the edge.
            values[np.isnan(rows).any(axis=1)] = np.nan
        return _outputs(self.spec.family, values.astype(np.float64))

    def _pairs(self) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """Return views of weight and bias of each layer."""
        arrays, at = [], 0
        for shape in self.spec.shapes:
            size = math.prod(shape)
            arrays.append(self.weights[at : at + size].reshape(shape))
            at += size
        return list(zip(arrays[::2], arrays[1::2], strict=True))


def _outputs(family: str, linear: Floats) -> Floats:
    if family == "linear":
        return linear
    if family == "softmax":
        linear -= linear.max(axis=1, keepdims=True)
        np.exp(linear, out=linear)
        total: Floats = linear.sum(axis=1, keepdims=True)
        return linear / total
    clipped = np.clip(linear, -60, 60)
    made: Floats = np.exp(clipped) if family == "poisson" else 1 / (1 + np.exp(-clipped))
    return made


def encode(part: NetworkPart) -> bytes:
    """Return the part as canonical bytes: equal parts have equal bytes."""
    weights = np.ascontiguousarray(part.weights, "<f4").tobytes()
    # Networks without convolutions have the bytes that they had before there were any.
    without = None if part.spec.image else {"image", "convolutions"}
    spec = part.spec.model_dump(mode="json", exclude=without)
    return codec.encode([TYPE, part.party, list(part.columns), spec, weights])


def decode(data: bytes) -> NetworkPart:
    """Read what ``encode`` wrote. Errors: ATL-MOD-001 for anything else."""
    try:
        value = codec.decode(data, limit=PART_BYTES)
        if type(value) is not list or len(value) != 5 or value[0] != TYPE:
            raise ValueError("another type")
        _, party, columns, plain, weights = value
        spec = NetworkSpec.model_validate(plain)
        _check(party, columns, spec, weights)
    except (AtollError, ValidationError, ValueError) as error:
        raise UserError("ATL-MOD-001", "this is not a trained network") from error
    return NetworkPart(party, tuple(columns), spec, np.frombuffer(weights, "<f4").copy())


def _check(party: object, columns: object, spec: NetworkSpec, weights: object) -> None:
    if type(party) is not str or not 0 < len(party) <= _NAME_BYTES:
        raise ValueError("no party")
    if type(columns) is not list or any(type(name) is not str for name in columns):
        raise ValueError("columns are no names")
    if len(columns) != spec.columns or len(set(columns)) != len(columns):
        raise ValueError("columns are missing, or named twice")
    if type(weights) is not bytes or len(weights) != 4 * spec.size:
        raise ValueError("another number of weights")
    if not np.isfinite(np.frombuffer(weights, "<f4")).all():
        raise ValueError("a weight is not finite")


def rename(part: NetworkPart, names: Mapping[str, str]) -> NetworkPart:
    """Return the part with another party id."""
    return replace(part, party=names.get(part.party, part.party))
