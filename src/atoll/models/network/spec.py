"""What a linear model, or a network with or without convolutions, is without its weights."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from atoll.models.network.conv import Convolution, Stage, stages

Family = Literal["linear", "logistic", "softmax", "poisson"]
Width = Annotated[int, Field(ge=1, le=1 << 16)]
Pixels = Annotated[int, Field(ge=1, le=1 << 16)]
MOST_COLUMNS = 1 << 16
# Their weights and the names of columns fit the bytes of a part.
MOST_VALUES = (1 << 28) - (1 << 23)


class NetworkSpec(BaseModel):
    """``columns`` inputs, hidden layers with ReLU between them, and what ``family`` makes of the
    last linear values: themselves, a probability of 1, one of each class, or a mean count.

    With ``image`` (height, width, channels) the inputs are an image's values, channels fastest,
    then columns of pixels, and ``convolutions`` come before the hidden layers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: int = Field(ge=1, le=MOST_COLUMNS)
    family: Family
    classes: int = Field(default=2, ge=2, le=1 << 12)
    hidden: tuple[Width, ...] = Field(default=(), max_length=16)
    image: tuple[Pixels, Pixels, Pixels] | None = None
    convolutions: tuple[Convolution, ...] = Field(default=(), max_length=16)

    @model_validator(mode="after")
    def _not_too_large(self) -> Self:
        if (self.image is None) != (not self.convolutions):
            raise ValueError("image and convolutions are for each other: state both or neither")
        if self.image is not None and math.prod(self.image) != self.columns:
            raise ValueError(f"an image of {self.image} has {math.prod(self.image)} columns")
        if self.size > MOST_VALUES:
            raise ValueError(f"a model has at most {MOST_VALUES} weights")
        return self

    @property
    def width(self) -> int:
        """The number of the last linear values of a row."""
        return self.classes if self.family == "softmax" else 1

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The convolutions with their sizes."""
        return () if self.image is None else stages(self.image, self.convolutions)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of weight and bias of each layer, in the order of the weights' vector."""
        layers = self.stages
        entering = math.prod(layers[-1].leaving) if layers else self.columns
        pairs = [(stage.inputs, stage.layer.channels) for stage in layers]
        pairs += itertools.pairwise((entering, *self.hidden, self.width))
        return tuple(shape for n, m in pairs for shape in ((n, m), (m,)))

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(math.prod(shape) for shape in self.shapes)
