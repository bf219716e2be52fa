"""Counts, means, deviations, skewness and kurtosis of pooled columns by sums.

First the range is found by histograms (``sketch``), then one round takes the mean and one the
powers of the distance from it, so that a large offset costs no digits. What is summed is divided by
the range: every entry lies within ± 16 times the client's rows (the fourth power of at most 2).

Revealed to the aggregator: the sketch's counts, and by column how many values there are and the
sums of the first four powers of their distance from the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.learning.horizontal.algorithm import ClientResult, ClientWork, State, Vectors
from atoll.learning.horizontal.features.api import (
    ROWS,
    PartyStep,
    StepSizes,
    are_counts,
    numbers,
    received,
    summed,
    unfinished,
    wrong_message,
)
from atoll.learning.horizontal.features.sketch import EDGES, MISSING, Sketch
from atoll.learning.horizontal.sums import Extent, Update

Floats = npt.NDArray[np.float64]
PIVOT, SCALE, POWERS, PRESENT, LOW, HIGH = "pivot", "scale", "powers", "present", "low", "high"
STAGE = "stage"
_ORDERS = 4
_RANGE, _MEAN, _CENTRAL, _DONE = range(4)


class Moments(PartyStep):
    """Sums of u, u², u³, u⁴ with u = (value − pivot) / scale; the last pivot is the mean.

    The result is that of the clients of the last round. Its error against the pooled computation is
    that of rounding: about 1e-12 relative to the column's range. The range itself is known to
    within a cell, 2^-16 of the values by default. Errors: those of ``Sketch``.
    """

    range_rounds: int = Field(default=3, ge=1, le=16, description="rounds that find the range")
    cells: int = Field(default=256, ge=16, le=1 << 16, description="cells of each of these rounds")

    @property
    def sketch(self) -> Sketch:
        """The rounds that find the range."""
        return Sketch(cells=self.cells, rounds=self.range_rounds, resolution=1e-6, focus="ends")

    @property
    def most_rounds(self) -> int:
        """See ``FeatureStep.most_rounds``."""
        return self.range_rounds + 2

    @property
    def row_bound(self) -> float:
        """See ``PartyStep.row_bound``: the fourth power of at most 2."""
        return 16.0

    def sizes(self, columns: int) -> StepSizes:
        """See ``PartyStep.sizes``."""
        cells, powers = self.sketch.sizes(columns), columns * (_ORDERS + 2)
        total = cells.total + 2 * (powers + 1)
        return StepSizes(max(cells.message, 3 * columns), max(cells.update, powers), total)

    def asked(self, sent: Vectors) -> tuple[str, int]:
        """See ``PartyStep.asked``."""
        if EDGES in sent:
            return self.sketch.asked(sent)
        if PIVOT not in sent:
            raise wrong_message(PIVOT)
        return "sums of powers", 2

    def begin(self, columns: int, low: Floats | None = None, high: Floats | None = None) -> State:
        """See ``FeatureStep.begin``; public bounds float64[columns] spare the range's rounds."""
        if low is None or high is None:
            state = self.sketch.begin(columns)
            return State(0, {**state.vectors, STAGE: np.array([float(_RANGE)])})
        return State(0, _scaled(low, high))

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        if _stage(state) == _RANGE:
            return self.sketch.message(state)
        return {name: state.vectors[name] for name in (PIVOT, SCALE)}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        if EDGES in work.sent:
            return self.sketch.client(work)
        rows = numbers(work.data.rows)
        columns = rows.shape[1]
        pivot, scale = (received(work.sent, name, columns) for name in (PIVOT, SCALE))
        present = ~np.isnan(rows)
        away = np.where(present, (rows - pivot) / scale, 0.0)
        powers, power = np.empty((_ORDERS, columns)), np.ones_like(away)
        for order in range(_ORDERS):
            power *= away
            powers[order] = power.sum(axis=0)
        count = present.sum(axis=0).astype(np.float64)
        vectors = {POWERS: powers.ravel(), PRESENT: count, MISSING: len(rows) - count}
        return ClientResult(Update(vectors, {ROWS: float(len(rows))}))

    def possible(self, found: Update, of: Extent) -> bool:
        """See ``Algorithm.possible``: powers are of the rows that are not missing."""
        if POWERS not in found.vectors:
            return self.sketch.possible(found, of)
        present, missing = found.vectors[PRESENT], found.vectors[MISSING]
        powers = np.abs(found.vectors[POWERS].reshape(_ORDERS, -1))
        whole = are_counts(present) and are_counts(missing)
        every = (present + missing == found.numbers[ROWS]).all()
        within = (powers <= self.row_bound * present).all()
        return super().possible(found, of) and whole and bool(every and within)

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        if total.numbers[ROWS] <= 0:
            return state.next()
        if _stage(state) == _RANGE:
            after = self.sketch.aggregate(state, total)
            if not self.sketch.finished(after):
                return after
            cells = self.sketch.result(after)
            return State(after.round, _scaled(cells.least[0], cells.greatest[1]))
        columns = len(state.vectors[PIVOT])
        powers = summed(total, POWERS, _ORDERS * columns)
        counts = {name: summed(total, name, columns) for name in (PRESENT, MISSING)}
        changed = {POWERS: powers, **counts, STAGE: state.vectors[STAGE] + 1}
        if _stage(state) == _MEAN:
            scale = state.vectors[SCALE]
            move = powers[:columns] / np.maximum(counts[PRESENT], 1)
            changed[PIVOT] = state.vectors[PIVOT] + scale * move
        return state.next(**changed)

    def finished(self, state: State) -> bool:
        """See ``FeatureStep.finished``."""
        return _stage(state) == _DONE

    def result(self, state: State) -> Described:
        """Return the statistics. Errors: ATL-HOR-102 before the last round."""
        if not self.finished(state):
            raise unfinished("moments")
        v = {name: np.asarray(vector, dtype=np.float64) for name, vector in state.vectors.items()}
        powers = v[POWERS].reshape(_ORDERS, -1)
        first, second, third, fourth = powers / np.maximum(v[PRESENT], 1)
        # The pivot is the mean of another round, whose clients may have been others.
        variance = np.maximum(second - first**2, 0)
        cubes = third - 3 * first * second + 2 * first**3
        fours = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
        mean = v[PIVOT] + v[SCALE] * first
        deviation = np.sqrt(variance)
        # Deviations of a few roundings of the values are those of equal values.
        equal = deviation * v[SCALE] <= 8 * np.finfo(np.float64).eps * np.abs(mean)
        deviation[equal] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            skewness = np.where(equal, np.nan, cubes / deviation**3)
            kurtosis = np.where(equal, np.nan, fours / variance**2 - 3)
        empty = v[PRESENT] == 0
        for line in (mean, deviation, skewness, kurtosis):
            line[empty] = np.nan
        return Described(
            count=v[PRESENT].astype(np.int64),
            missing=v[MISSING].astype(np.int64),
            mean=mean,
            deviation=deviation * v[SCALE],
            skewness=skewness,
            kurtosis=kurtosis,
            low=np.where(empty, np.nan, v[LOW]),
            high=np.where(empty, np.nan, v[HIGH]),
        )


@dataclass(frozen=True)
class Described:
    """Statistics of pooled columns, one entry a column; NaN where the values do not determine it.

    ``count`` and ``missing`` int64 are exact; ``deviation`` is that of all rows (ddof 0),
    ``kurtosis`` that above the normal distribution's; ``low`` and ``high`` enclose all values.
    """

    count: npt.NDArray[np.int64]
    missing: npt.NDArray[np.int64]
    mean: Floats
    deviation: Floats
    skewness: Floats
    kurtosis: Floats
    low: Floats
    high: Floats

    def spread(self, ddof: Literal[0, 1] = 1) -> Floats:
        """Return the standard deviation, of a sample (1) or of all rows; NaN for too few values."""
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(self.count > ddof, self.count / (self.count - ddof), np.nan)
        return self.deviation * np.sqrt(factor)


def _stage(state: State) -> int:
    return int(state.vectors[STAGE][0])


def _scaled(low: Floats, high: Floats) -> dict[str, Floats]:
    """Return the vectors of the stage that takes the mean, pivot in the middle of the range."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    half = high / 2 - low / 2
    scale = np.where(half > 0, half, np.maximum(np.abs(low), 1.0))
    middle = low / 2 + high / 2
    return {
        PIVOT: middle,
        SCALE: scale,
        LOW: low,
        HIGH: high,
        STAGE: np.array([float(_MEAN)]),
    }
