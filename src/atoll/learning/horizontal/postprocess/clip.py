"""Bounds what one client's update can weigh, which noise and secure sums are measured by."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import Limits, Passage, Postprocessor, Stage
from atoll.learning.horizontal.sums import Extent, Update

CLIPPED = "clipped"
# Norms of long float32 vectors are right to about this.
_TOLERANCE = 1e-3


class Clip(Postprocessor):
    """Scales an update down to an L2 norm of at most ``norm``, over all its vectors together.

    The number of clipped updates is summed beside them. Numbers of the update are not clipped.
    """

    stage: ClassVar[Stage] = Stage.CLIP
    norm: float = Field(gt=0, le=1e9, description="greatest L2 norm of an update")

    def client(self, update: Update, passage: Passage) -> Update:
        """See ``Postprocessor.client``."""
        length = norm(update)
        clipped = length > self.norm
        vectors = dict(update.vectors)
        if clipped:
            vectors = {name: shrunk(v, self.norm / length) for name, v in vectors.items()}
        return Update(vectors, {**update.numbers, CLIPPED: float(clipped)})

    def limits(self, before: Limits, of: Extent, size: int) -> Limits:
        """See ``Postprocessor.limits``."""
        reach = self.norm * of.updates * (1 + _TOLERANCE)
        return Limits(min(before.most, reach), min(before.norm, reach))


def norm(update: Update) -> float:
    """Return the L2 norm of all vectors of an update together."""
    return float(np.sqrt(sum(float(np.dot(v, v)) for v in update.vectors.values())))


def shrunk(vector: Vector, factor: float) -> Vector:
    """Return vector · factor, rounded towards zero where it must be, so that no norm grows."""
    nearest: Vector = np.nextafter(vector.dtype.type(factor), vector.dtype.type(0))
    return vector * nearest
