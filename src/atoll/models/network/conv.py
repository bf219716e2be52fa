"""Convolutional layers as data: their sizes, and what they make of images, on the BLAS.

A layer convolves by one matrix product: each output pixel's k · k neighbourhood is a row of it
(Chellapilla, Puri, Simard 2006). Images are float[n, height, width, channels].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import BaseModel, ConfigDict, Field

Floats = npt.NDArray[np.floating]
Image = tuple[int, int, int]
# What the layers make of one image fits 128 MiB in float32, and of a block of images a tenth.
MOST_VALUES_AN_IMAGE = 1 << 25
_BLOCK_VALUES = 1 << 22


class Convolution(BaseModel):
    """``channels`` filters of kernel · kernel pixels, ReLU, then pooling of 2 · 2 pixels.

    ``same`` pads with zeros, so that ceil(size / stride) pixels leave; ``valid`` does not pad.
    Pooling leaves the last row or column of an odd size out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(ge=1, le=1 << 12)
    kernel: int = Field(default=3, ge=1, le=31)
    stride: int = Field(default=1, ge=1, le=31)
    padding: Literal["same", "valid"] = "same"
    pooling: Literal["none", "max", "mean"] = "none"


@dataclass(frozen=True)
class Stage:
    """A layer on images of one size: ``image`` enters, ``convolved`` is pooled to ``leaving``."""

    layer: Convolution
    image: Image
    convolved: Image
    leaving: Image
    before: tuple[int, int]
    padded: tuple[int, int]

    @property
    def inputs(self) -> int:
        """The number of values of a neighbourhood."""
        return self.layer.kernel**2 * self.image[2]

    @property
    def values(self) -> int:
        """The number of values that the layer makes of one image."""
        height, width, _ = self.convolved
        around = math.prod(self.padded) * self.image[2]
        return around + height * width * (self.inputs + 2 * self.layer.channels)

    def patches(self, images: Floats) -> Floats:
        """Return each output pixel's neighbourhood as a row, float[n · pixels, inputs]."""
        size, stride = self.layer.kernel, self.layer.stride
        if self.padded != self.image[:2]:
            whole = np.zeros((len(images), *self.padded, self.image[2]), images.dtype)
            self.inner(whole)[:] = images
            images = whole
        windows = sliding_window_view(images, (size, size), axis=(1, 2))
        near: Floats = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
        return near.reshape(-1, self.inputs)

    def inner(self, padded: Floats) -> Floats:
        """Return the view of padded images that holds the images."""
        (top, left), (height, width, _) = self.before, self.image
        return padded[:, top : top + height, left : left + width]

    def convolve(self, patches: Floats, kernel: Floats, bias: Floats) -> Floats:
        """Return float[n, *convolved] after ReLU; kernel float[inputs, channels]."""
        values: Floats = patches @ kernel
        values += bias
        np.maximum(values, 0, out=values)
        return values.reshape(-1, *self.convolved)

    def pool(self, values: Floats) -> Floats:
        """Return float[n, *leaving] of float[n, *convolved]."""
        if self.layer.pooling == "none":
            return values
        a, b, c, d = self.quarters(values)
        if self.layer.pooling == "max":
            return np.maximum(np.maximum(a, b), np.maximum(c, d))
        mean: Floats = (a + b + c + d) * values.dtype.type(0.25)
        return mean

    def quarters(self, values: Floats) -> list[Floats]:
        """Return views of the four pixels that are pooled into each, float[n, *leaving]."""
        height, width, _ = self.leaving
        corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
        return [values[:, i : 2 * height : 2, j : 2 * width : 2] for i, j in corners]


def stages(image: Image, layers: tuple[Convolution, ...]) -> tuple[Stage, ...]:
    """Return each layer with its sizes.

    Errors: ValueError where no pixel is left, or one image becomes more than
    ``MOST_VALUES_AN_IMAGE`` values.
    """
    found = []
    for layer in layers:
        stage = _stage(image, layer)
        image = stage.leaving
        if min(image) < 1:
            raise ValueError("an image is smaller than the kernel or the pooling of a layer")
        found.append(stage)
    if sum(stage.values for stage in found) > MOST_VALUES_AN_IMAGE:
        raise ValueError(f"an image becomes more than {MOST_VALUES_AN_IMAGE} values")
    return tuple(found)


def _stage(image: Image, layer: Convolution) -> Stage:
    sizes, before, padded = [], [], []
    for size in image[:2]:
        more = 0
        if layer.padding == "same":
            more = max((-(-size // layer.stride) - 1) * layer.stride + layer.kernel - size, 0)
        before.append(more // 2)
        padded.append(size + more)
        sizes.append(max((size + more - layer.kernel) // layer.stride + 1, 0))
    (height, width), count = sizes, layer.channels
    divisor = 1 if layer.pooling == "none" else 2
    return Stage(
        layer=layer,
        image=image,
        convolved=(height, width, count),
        leaving=(height // divisor, width // divisor, count),
        before=(before[0], before[1]),
        padded=(padded[0], padded[1]),
    )


def block_of(layers: tuple[Stage, ...]) -> int:
    """Return how many images pass the layers at once: what they hold then has a bound."""
    return max(1, _BLOCK_VALUES // max(1, sum(stage.values for stage in layers)))
