"""Convolutional networks: layers with ReLU and pooling, then fully connected ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from atoll.core.errors import UserError
from atoll.learning.horizontal.layout import Layout, Vector
from atoll.learning.horizontal.models.api import Rows, Targets
from atoll.learning.horizontal.models.mlp import MLP, MLPGradient
from atoll.learning.horizontal.models.outputs import Output
from atoll.models.network.conv import Convolution, Image, Stage, block_of, stages

Kept = list[tuple[Rows, Rows, Rows]]


@dataclass(frozen=True)
class ConvNet:
    """Convolutions over an ``image`` (height, width, channels), hidden layers, then ``output``.

    A row is an image's values, channels fastest, then columns of pixels. Arrays are ``kernel0``
    (kernel · kernel · channels, filters), ``shift0``, …, then those of ``MLP``. Weights start as He
    et al. 2015 have it. Errors: ATL-HOR-200 for layers that leave nothing of such an image, or make
    too much of it.
    """

    image: Image
    convolutions: tuple[Convolution, ...]
    hidden: tuple[int, ...]
    output: Output

    def __post_init__(self) -> None:
        if len(self.image) != 3 or min(self.image) < 1 or not self.convolutions:
            raise _no_network("it takes a height, a width and channels, and a layer at least")
        try:
            _ = self.stages
        except ValueError as error:
            raise _no_network(str(error)) from error

    @cached_property
    def columns(self) -> int:
        """The number of values of an image."""
        return math.prod(self.image)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The layers with their sizes."""
        return stages(self.image, self.convolutions)

    @cached_property
    def dense(self) -> MLP:
        """The fully connected layers behind the convolutions."""
        return MLP(math.prod(self.stages[-1].leaving), self.hidden, self.output)

    @cached_property
    def front(self) -> Layout:
        """The arrays of the convolutions, which lie before those of ``dense``."""
        arrays: list[tuple[str, tuple[int, ...]]] = []
        for i, stage in enumerate(self.stages):
            filters = stage.layer.channels
            arrays += [(f"kernel{i}", (stage.inputs, filters)), (f"shift{i}", (filters,))]
        return Layout(tuple(arrays))

    @cached_property
    def layout(self) -> Layout:
        """See ``Model.layout``."""
        return Layout((*self.front.arrays, *self.dense.layout.arrays))

    def initial(self, generator: np.random.Generator) -> Vector:
        """See ``Model.initial``."""
        vector = np.zeros(self.layout.size, dtype=np.float32)
        for (kernel, _), stage in zip(self.kernels(vector), self.stages, strict=True):
            kernel[:] = generator.normal(0, (2 / stage.inputs) ** 0.5, kernel.shape)
        vector[self.front.size :] = self.dense.initial(generator)
        return vector

    def kernels(self, vector: Vector) -> list[tuple[Vector, Vector]]:
        """Return views of the convolutions' filters and shifts."""
        views = self.front.views(vector[: self.front.size])
        return [(views[f"kernel{i}"], views[f"shift{i}"]) for i in range(len(self.stages))]

    def gradient_of(self, weights: Vector) -> ConvGradient:
        """See ``Model.gradient_of``."""
        return ConvGradient(self, weights)

    def predict(self, weights: Vector, rows: Rows) -> Rows:
        """See ``Model.predict``."""
        return self.output.predict(self.gradient_of(weights).linear(rows))


class ConvGradient:
    """Losses and gradients of a network at weights that change in place.

    Images pass in blocks, so what is held at once does not grow with the rows of a step.
    """

    def __init__(self, model: ConvNet, weights: Vector) -> None:
        model.layout.check(weights)
        self._model = model
        self._kernels = model.kernels(weights)
        self._dense = MLPGradient(model.dense, weights[model.front.size :])
        self._block = block_of(model.stages)

    def linear(self, rows: Rows) -> Rows:
        """Return the linear values of the output, float[n, width]."""
        if not len(rows):
            return np.empty((0, self._model.output.width), rows.dtype)
        found = [
            self._dense.forward(self._forward(rows[part])[0])[-1] for part in self._parts(rows)
        ]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def __call__(self, rows: Rows, targets: Targets, into: Vector) -> None:
        """See ``Gradient.__call__``."""
        self._model.layout.check(into)
        if not len(rows):
            into[:] = 0
        whole, some = into, into
        for part in self._parts(rows):
            if part.start:
                some = np.empty_like(into) if some is whole else some
            self._some(rows[part], targets[part], len(rows), some)
            if some is not whole:
                whole += some

    def each(self, rows: Rows, targets: Targets) -> Rows:
        """See ``ByRow.each``."""
        found = [self._each(rows[part], targets[part]) for part in self._parts(rows)]
        return np.concatenate(found) if found else np.empty((0, self._model.layout.size))

    def loss(self, rows: Rows, targets: Targets) -> float:
        """See ``Gradient.loss``."""
        return self._model.output.loss(self.linear(rows), targets)

    def _parts(self, rows: Rows) -> Iterator[slice]:
        return (slice(at, at + self._block) for at in range(0, len(rows), self._block))

    def _forward(self, rows: Rows) -> tuple[Rows, Kept]:
        """Return what leaves the convolutions, flat, and of each layer what its slope needs."""
        images, kept = rows.reshape(len(rows), *self._model.image), Kept()
        for stage, (kernel, shift) in zip(self._model.stages, self._kernels, strict=True):
            patches = stage.patches(images)
            values = stage.convolve(patches, kernel, shift)
            images = stage.pool(values)
            kept.append((patches, values, images))
        return images.reshape(len(rows), -1), kept

    def _some(self, rows: Rows, targets: Targets, count: int, into: Vector) -> None:
        """Write these rows' share of the mean gradient over ``count`` rows."""
        model = self._model
        entered, kept = self._forward(rows)
        values = self._dense.forward(entered)
        error = model.output.derivative(values.pop(), targets)
        if len(rows) != count:
            error *= len(rows) / count
        error = self._dense.back(values, error, into[model.front.size :])
        slopes = model.kernels(into)
        for i, flat in self._back(error, kept):
            kernel, shift = slopes[i]
            np.dot(kept[i][0].T, flat, out=kernel)
            np.add.reduce(flat, axis=0, out=shift)

    def _each(self, rows: Rows, targets: Targets) -> Rows:
        entered, kept = self._forward(rows)
        dense, error = self._dense.each_through(entered, targets)
        parts = [dense]
        for i, flat in self._back(error, kept):
            patches = kept[i][0].reshape(len(rows), -1, kept[i][0].shape[1])
            pixels = flat.reshape(len(rows), patches.shape[1], -1)
            slope = patches.transpose(0, 2, 1) @ pixels
            parts = [slope.reshape(len(rows), -1), pixels.sum(axis=1), *parts]
        return np.concatenate(parts, axis=1)

    def _back(self, error: Rows, kept: Kept) -> Iterator[tuple[int, Rows]]:
        """Yield each layer, the last first, with the loss's slope by its linear values."""
        for i in range(len(kept) - 1, -1, -1):
            stage, (_, values, pooled) = self._model.stages[i], kept[i]
            flat = _unpooled(stage, error.reshape(pooled.shape), values, pooled)
            yield i, flat
            if i:
                error = _spread(stage, flat @ self._kernels[i][0].T, len(values))


def _unpooled(stage: Stage, error: Rows, values: Rows, pooled: Rows) -> Rows:
    """Return float[n · pixels, channels] before pooling and ReLU of float[n, *leaving] after."""
    if stage.layer.pooling == "none":
        whole = error * (values > 0)
    else:
        whole = np.zeros_like(values)
        if stage.layer.pooling == "mean":
            error = error * error.dtype.type(0.25)
        free = np.ones(error.shape, dtype=np.bool_)
        for into, value in zip(stage.quarters(whole), stage.quarters(values), strict=True):
            if stage.layer.pooling == "mean":
                into[:] = error
                continue
            # Of equal values the first has the slope: it is one loss that moves, not two.
            chosen = free & (value == pooled)
            free &= ~chosen
            np.multiply(error, chosen, out=into)
        whole *= values > 0
    return whole.reshape(-1, stage.layer.channels)


def _spread(stage: Stage, patches: Rows, count: int) -> Rows:
    """Return the sum of all neighbourhoods' values at each pixel, float[count, *image]."""
    (height, width, _), size, stride = stage.convolved, stage.layer.kernel, stage.layer.stride
    near = patches.reshape(count, height, width, size, size, stage.image[2])
    whole = np.zeros((count, *stage.padded, stage.image[2]), patches.dtype)
    for i in range(size):
        for j in range(size):
            down = slice(i, i + stride * (height - 1) + 1, stride)
            right = slice(j, j + stride * (width - 1) + 1, stride)
            whole[:, down, right] += near[:, :, :, i, j]
    return stage.inner(whole)


def _no_network(why: str) -> UserError:
    return UserError(
        "ATL-HOR-200",
        f"there is no such network of images: {why}",
        hint="take smaller kernels, fewer layers with pooling, or larger images",
    )
