"""K-means over rows of many clients by sums that can be masked.

In each round every client assigns its rows to the nearest of the centres that it was sent, and
sends by cluster the number of its rows, and by column the sums of their distance to the centre and
of its square. With the same start the centres are those of Lloyd's algorithm on the pooled rows,
but for rounding.

A start is public, or found from such sums: cells are split until there are several for each
cluster, and k-means++ over the cells' means, weighted by their rows, then chooses as many centres
as there are to be clusters, without a further round. Sources: Lloyd, "Least Squares Quantization in
PCM" (1982); Linde, Buzo and Gray, "An Algorithm for Vector Quantizer Design" (1980) for the splits;
Arthur and Vassilvitskii, "k-means++" (2007); Bahmani et al., "Scalable K-Means++" (2012) for seeds
from weighted means.

Revealed to the aggregator, of all clients of a round together: these counts and sums by cluster, or
by cell. One of a single row shows that row (not whose it is). Revealed to clients: the centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.core.errors import DataError, UserError
from atoll.learning.horizontal.algorithm import ClientResult, ClientWork, State, Vectors
from atoll.learning.horizontal.features.api import (
    ROWS,
    PartyStep,
    StepSizes,
    numbers,
    received,
    summed,
    unfinished,
    wrong_message,
)
from atoll.learning.horizontal.sums import Update
from atoll.models.clusters import MOST_CLUSTERS, Labels, blocks, nearest

Floats = npt.NDArray[np.float64]
CENTRES, SUMS, SQUARES, COUNTS = "centres", "sums", "squares", "counts"
INERTIA = "inertia"
# The stage, the rounds since a split, how far a centre moved, and the inertia.
_LAST = "last"
_CELLS, _LLOYD, _DONE = range(3)
# Tries and steps of k-means++ over cells.
_TRIES, _STEPS = 10, 100


@dataclass(frozen=True, eq=False)
class Clusters:
    """``centres`` float64[clusters, columns]; ``counts`` float64[clusters] rows of each.

    ``inertia`` is the sum of squared distances to the centres. Both belong to the assignment of the
    last round, whose means the centres are. There are fewer clusters than asked for where there are
    not as many distinct rows.
    """

    centres: Floats
    counts: Floats
    inertia: float

    def vectors(self) -> Vectors:
        """Return these as vectors, of which ``KMeans.received`` makes them."""
        inertia = np.array([self.inertia])
        return {CENTRES: self.centres.ravel(), COUNTS: self.counts, INERTIA: inertia}

    def assign(self, rows: Floats) -> Labels:
        """Return the nearest centre of each row, int64[n]; of equally near ones the first.

        Errors: ATL-HOR-112 a value that is missing or infinite.
        """
        return nearest(complete(rows, self.centres.shape[1]), self.centres)


class KMeans(PartyStep):
    """Lloyd's rounds over ``clusters`` centres, until none moves by more than ``tolerance``.

    Without a public start one is found first: the cells begin at the mean of all rows and after
    each ``settle`` rounds those of the greatest inertia are split, each along its widest column,
    until there are ``cells`` for each cluster. A cluster that loses its rows is split off the
    widest one again. Equal ``seed`` and sums give equal centres. The result is a local optimum.

    Values of an update lie within ± the client's rows times the (squared) width of the data. Under
    a mask scale columns before, and choose ``bound``: what lies beyond ± it is cut to it, and no
    row adds more than its double, squared. Rows are taken as float64. Errors: ATL-HOR-112 a value
    that is missing or infinite, ATL-HOR-100 a message for other columns, or with centres beyond
    ``bound`` or more than planned.
    """

    clusters: int = Field(default=8, ge=1, le=MOST_CLUSTERS, description="number of clusters")
    rounds: int = Field(default=100, ge=1, le=1 << 16, description="rounds at most")
    cells: int = Field(default=4, ge=1, le=16, description="cells for each cluster of a start")
    settle: int = Field(default=1, ge=1, le=100, description="rounds between splits")
    seed: int = Field(default=0, ge=0, description="of the choice among cells; public")
    tolerance: float = Field(
        default=1e-4,
        ge=0,
        le=1,
        description="greatest move of a centre at the end, relative to the rows' mean distance",
    )
    bound: float = Field(default=np.inf, gt=0, description="greatest absolute value of a column")

    @property
    def most_rounds(self) -> int:
        """See ``FeatureStep.most_rounds``."""
        return self.rounds

    @property
    def row_bound(self) -> float:
        """See ``PartyStep.row_bound``: a row is counted, or away from a centre, or that squared."""
        return max(1.0, 2 * self.bound, 4 * self.bound * self.bound)

    def sizes(self, columns: int) -> StepSizes:
        """See ``PartyStep.sizes``."""
        most = self.clusters * self.cells
        update = most * (2 * columns + 1)
        return StepSizes(most * columns, update, self.rounds * (update + 1))

    def asked(self, sent: Vectors) -> tuple[str, int]:
        """See ``PartyStep.asked``."""
        if CENTRES not in sent:
            raise wrong_message(CENTRES)
        return "sums by cluster", self.rounds

    def begin(self, columns: int, centres: Floats | None = None) -> State:
        """See ``FeatureStep.begin``; ``centres`` float64[clusters, columns] are a public start.

        Errors: ATL-HOR-113 a start of another form.
        """
        if centres is None:
            return State(0, _held(np.zeros((1, columns)), np.zeros(1), [_CELLS, 0.0, np.inf, 0.0]))
        if centres.shape != (self.clusters, columns) or not np.isfinite(centres).all():
            raise UserError(
                "ATL-HOR-113",
                f"a start is finite numbers of shape [{self.clusters}, {columns}]",
            )
        start = np.array(centres, dtype=np.float64)
        return State(0, _held(start, np.zeros(len(start)), [_LLOYD, 0.0, np.inf, 0.0]))

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        return {CENTRES: state.vectors[CENTRES]}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        columns = work.data.rows.shape[1]
        centres = self._centres(work.sent, columns, self.clusters * self.cells)
        rows = np.clip(complete(work.data.rows, columns), -self.bound, self.bound)
        sums, squares = np.zeros_like(centres), np.zeros_like(centres)
        counts = np.zeros(len(centres))
        for block in blocks(rows, len(centres)):
            own = nearest(block, centres)
            away = block - centres[own]
            belongs = _belongs(own, len(centres))
            sums += belongs.T @ away
            squares += belongs.T @ np.square(away)
            counts += belongs.sum(axis=0)
        vectors = {SUMS: sums.ravel(), SQUARES: squares.ravel(), COUNTS: counts}
        return ClientResult(Update(vectors, {ROWS: float(len(rows))}))

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        if total.numbers[ROWS] <= 0:
            return state.next()
        former = state.vectors[CENTRES]
        count = len(state.vectors[COUNTS])
        sums, squares = (
            summed(total, name, len(former)).reshape(count, -1) for name in (SUMS, SQUARES)
        )
        counts = np.rint(summed(total, COUNTS, count))
        there = counts > 0
        counts, divisor = counts[there], counts[there, None]
        moves = sums[there] / divisor
        means = former.reshape(count, -1)[there] + moves
        variances = squares[there] / divisor - np.square(moves)
        cells = _Cells(means, counts, np.maximum(variances, 0))
        moved = float(np.sqrt(np.square(moves).sum(axis=1).max(initial=0)))
        distance = float(np.sqrt(cells.inertia.sum() / max(counts.sum(), 1.0)))
        stage, waited, *_ = state.vectors[_LAST].tolist()
        ends = state.round + 1 >= self.rounds
        moved /= distance or 1.0
        found = self._next(cells, int(stage), waited + 1, moved, ends=ends)
        # Halves of a cell, and rounding, may lie beyond what rows are cut to.
        found[CENTRES] = np.clip(found[CENTRES], -self.bound, self.bound)
        return state.next(**found)

    def finished(self, state: State) -> bool:
        """See ``FeatureStep.finished``."""
        return state.round >= self.rounds or int(state.vectors[_LAST][0]) == _DONE

    def result(self, state: State) -> Clusters:
        """Return what the last round found. Errors: ATL-HOR-102 the start was not found yet."""
        centres, counts, last = (
            np.array(state.vectors[name], dtype=np.float64) for name in (CENTRES, COUNTS, _LAST)
        )
        if not self.finished(state) or int(last[0]) == _CELLS or not counts.all():
            raise unfinished("clusters")
        return Clusters(centres.reshape(len(counts), -1), counts, self.inertia(state))

    def received(self, sent: Vectors, columns: int) -> Clusters:
        """Return what ``Clusters.vectors`` wrote of so many columns. Errors: ATL-HOR-100."""
        centres = self._centres(sent, columns, self.clusters)
        counts = received(sent, COUNTS, len(centres))
        if (counts < 1).any():
            raise wrong_message(COUNTS)
        return Clusters(centres, counts, float(received(sent, INERTIA, 1)[0]))

    def inertia(self, state: State) -> float:
        """Return the sum of squared distances that the last round found."""
        return float(state.vectors[_LAST][3])

    def _centres(self, sent: Vectors, columns: int, most: int) -> Floats:
        flat = received(sent, CENTRES)
        if not len(flat) or len(flat) % columns or len(flat) > most * columns:
            raise wrong_message(CENTRES)
        if np.abs(flat).max() > self.bound:
            raise wrong_message(CENTRES)
        return flat.reshape(-1, columns)

    def _next(
        self, cells: _Cells, stage: int, waited: float, moved: float, *, ends: bool
    ) -> dict[str, Floats]:
        """Return the state's vectors after a round that found these cells."""
        inertia = float(cells.inertia.sum())
        wanted = self.clusters if stage == _LLOYD else self.clusters * self.cells
        free = min(wanted - len(cells.counts), cells.splittable)
        if ends:
            free = 0
        elif stage == _LLOYD:
            stage = _DONE if free <= 0 and moved <= self.tolerance else _LLOYD
        elif free <= 0 and waited >= self.settle:
            chosen = cells.seeds(self.clusters, np.random.default_rng(self.seed))
            return _held(chosen, np.zeros(len(chosen)), [_LLOYD, 0.0, np.inf, inertia])
        elif waited < self.settle:
            free = 0
        centres, counts = cells.split(max(free, 0))
        return _held(centres, counts, [stage, 0.0 if free > 0 else waited, moved, inertia])


@dataclass(frozen=True, eq=False)
class _Cells:
    """Means float64[cells, columns], rows [cells], and variances [cells, columns] about them."""

    means: Floats
    counts: Floats
    variances: Floats

    @property
    def inertia(self) -> Floats:
        """The sum of squared distances in each cell."""
        found: Floats = self.variances.sum(axis=1) * self.counts
        return found

    @property
    def splittable(self) -> int:
        """How many cells hold more than one value."""
        return int((self.inertia > 0).sum())

    def split(self, count: int) -> tuple[Floats, Floats]:
        """Return centres with the ``count`` widest cells in two, and the rows known of each.

        A cell's halves lie a deviation to either side of its mean, along its widest column.
        """
        widest = np.argsort(-self.inertia, kind="stable")[:count]
        column = self.variances[widest].argmax(axis=1)
        step = np.sqrt(self.variances[widest, column])
        centres, more = self.means.copy(), self.means[widest]
        centres[widest, column] -= step
        more[np.arange(len(widest)), column] += step
        return np.concatenate([centres, more]), np.concatenate([self.counts, np.zeros(len(widest))])

    def seeds(self, count: int, generator: np.random.Generator) -> Floats:
        """Return ``count`` centres, float64[count, columns], by k-means++ over the cells' means."""
        if len(self.means) <= count:
            return self.means
        found = [_weighted(self.means, self.counts, count, generator) for _ in range(_TRIES)]
        return min(found, key=lambda pair: pair[0])[1]


def _weighted(
    points: Floats, weights: Floats, count: int, generator: np.random.Generator
) -> tuple[float, Floats]:
    """Return the inertia and centres of one k-means++ over weighted points."""
    drawn = generator.choice(len(points), p=weights / weights.sum())
    chosen, least = [drawn], np.square(points - points[drawn]).sum(axis=1)
    while len(chosen) < count and (weights * least).any():
        mass = weights * least
        drawn = generator.choice(len(points), p=mass / mass.sum())
        chosen.append(drawn)
        np.minimum(least, np.square(points - points[drawn]).sum(axis=1), out=least)
    centres = points[chosen]
    for _ in range(_STEPS):
        belongs = _belongs(nearest(points, centres), len(centres)) * weights[:, None]
        held = belongs.sum(axis=0)[:, None]
        moved = np.where(held > 0, belongs.T @ points / np.maximum(held, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    away = points - centres[nearest(points, centres)]
    return float(weights @ np.square(away).sum(axis=1)), centres


def _held(centres: Floats, counts: Floats, last: list[float]) -> dict[str, Floats]:
    return {CENTRES: centres.ravel(), COUNTS: counts, _LAST: np.array(last, dtype=np.float64)}


def _belongs(labels: Labels, count: int) -> Floats:
    """Return float64[rows, count], 1 where a row has that label."""
    found: Floats = (labels[:, None] == np.arange(count)).astype(np.float64)
    return found


def complete(rows: npt.NDArray[np.floating], columns: int) -> Floats:
    """Return float64[rows, columns] without a missing value. Errors: ATL-HOR-112, ATL-BIN-001."""
    found = numbers(rows)
    if found.shape[1] != columns or np.isnan(found).any():
        raise DataError(
            "ATL-HOR-112",
            f"a row has a missing value, or not {columns} columns: no centre is nearest to it",
            hint="impute missing values before, or leave the column out",
        )
    return found
