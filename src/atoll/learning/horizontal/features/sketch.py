"""Quantiles and extremes of pooled columns from histograms that are refined in a few rounds.

Each round every client counts its rows in the cells of each column; the aggregator cuts the summed
mass into equal parts (``quantiles``) or cuts the outermost cells (``ends``) and asks again. No
bounds need be known. The least and the greatest value are no sums: they are searched for in this
way and known to within a cell.

Revealed to the aggregator (and to clients by the next edges): how many rows of all clients together
lie in each cell, and how many are missing, by column and round. The aggregator chooses the cells,
so it can count the rows of any range; a narrow cell with few rows shows a value of some client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.core.errors import UserError
from atoll.learning.features.binning import Binning, between, bin_starts
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
from atoll.learning.horizontal.features.ordered import at_ends, equal_mass, initial_edges
from atoll.learning.horizontal.sums import Extent, Update

Floats = npt.NDArray[np.float64]
EDGES, MEASURED, COUNTS, MISSING = "edges", "measured", "counts", "missing"
# Cells so narrow, of their values, hold one value.
SAME = 1e-12
MOST_SKETCH = 1 << 28


class Sketch(PartyStep):
    """Counts in ``cells`` cells a column, refined until they are fine enough.

    It ends when each cell holds at most ``tolerance`` of the column's rows or is narrower than
    ``resolution`` of the column's range (of ``ends``: only the outermost cells, by width), or after
    ``rounds``. Errors: ATL-HOR-100 at a client, ATL-HOR-101, ATL-BIN-001 infinite values.
    """

    cells: int = Field(default=1024, ge=16, le=1 << 16, description="cells of each column")
    rounds: int = Field(default=7, ge=1, le=64, description="rounds at most")
    tolerance: float = Field(default=0.004, ge=0, le=1, description="share of rows in a cell")
    resolution: float = Field(default=1e-6, ge=0, le=1, description="width of a cell, of the range")
    focus: Literal["quantiles", "ends"] = Field(
        default="quantiles", description="which cells are refined: all by their mass, or both ends"
    )

    @property
    def most_rounds(self) -> int:
        """See ``FeatureStep.most_rounds``."""
        return self.rounds

    def sizes(self, columns: int) -> StepSizes:
        """See ``PartyStep.sizes``."""
        update = columns * (self.cells + 1)
        return StepSizes(columns * (self.cells - 1), update, self.rounds * (update + 1))

    def asked(self, sent: Vectors) -> tuple[str, int]:
        """See ``PartyStep.asked``."""
        if EDGES not in sent:
            raise wrong_message(EDGES)
        return "counts in cells", self.rounds

    def begin(self, columns: int, low: Floats | None = None, high: Floats | None = None) -> State:
        """See ``FeatureStep.begin``; ``low`` and ``high`` float64[columns] are public bounds."""
        if columns * self.cells > MOST_SKETCH:
            raise UserError("ATL-HOR-105", "so many cells and columns exceed a sketch")
        if low is None or high is None:
            edges = np.tile(initial_edges(self.cells - 1), columns)
        else:
            edges = np.linspace(low, high, self.cells - 1, axis=1).ravel()
        return State(0, {EDGES: edges})

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        return {EDGES: state.vectors[EDGES]}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        rows = numbers(work.data.rows)
        columns, edges = rows.shape[1], self.cells - 1
        sent = received(work.sent, EDGES, columns * edges).reshape(columns, edges)
        if (sent[:, 1:] < sent[:, :-1]).any():
            raise wrong_message(EDGES)
        counts = np.empty((columns, self.cells))
        missing = np.empty(columns)
        for index in range(columns):
            values = rows[:, index]
            absent = np.isnan(values)
            missing[index] = np.count_nonzero(absent)
            cell = np.searchsorted(sent[index], values[~absent], side="right")
            counts[index] = np.bincount(cell, minlength=self.cells)
        vectors = {COUNTS: counts.ravel(), MISSING: missing}
        return ClientResult(Update(vectors, {ROWS: float(len(rows))}))

    def possible(self, found: Update, of: Extent) -> bool:
        """See ``Algorithm.possible``: each column's cells hold all rows but the missing."""
        cells, missing = found.vectors[COUNTS].reshape(-1, self.cells), found.vectors[MISSING]
        whole = are_counts(found.vectors[COUNTS]) and are_counts(missing)
        every = (cells.sum(axis=1) + missing == found.numbers[ROWS]).all()
        return super().possible(found, of) and whole and bool(every)

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        if total.numbers[ROWS] <= 0:
            return state.next()
        edges = np.asarray(state.vectors[EDGES], dtype=np.float64)
        columns = len(edges) // (self.cells - 1)
        counts = summed(total, COUNTS, columns * self.cells)
        refine = equal_mass if self.focus == "quantiles" else at_ends
        by_column = edges.reshape(columns, -1), counts.reshape(columns, -1)
        after = np.concatenate([refine(e, c) for e, c in zip(*by_column, strict=True)])
        return state.next(
            **{
                EDGES: after,
                MEASURED: edges,
                COUNTS: counts,
                MISSING: summed(total, MISSING, columns),
            }
        )

    def finished(self, state: State) -> bool:
        """See ``FeatureStep.finished``."""
        if COUNTS not in state.vectors:
            return False
        if state.round >= self.rounds:
            return True
        cells = self.result(state)
        heavy = cells.counts > self.tolerance * cells.counts.sum(axis=1, keepdims=True)
        if self.focus == "ends":
            heavy = cells.outermost
        with np.errstate(over="ignore"):
            spans = np.maximum(cells.greatest[1] - cells.least[0], 0)[:, np.newaxis]
            # Of a column of one value the range is the cell itself.
            sizes = np.abs(cells.bounds[:, :-1]) * SAME
            fine = np.diff(cells.bounds, axis=1) <= np.maximum(self.resolution * spans, sizes)
        return bool((~heavy | fine).all())

    def result(self, state: State) -> Cells:
        """Return the counts of the last round. Errors: ATL-HOR-102 without any."""
        if COUNTS not in state.vectors:
            raise unfinished("a sketch")
        edges = state.vectors[MEASURED].reshape(-1, self.cells - 1)
        counts = state.vectors[COUNTS].reshape(len(edges), self.cells)
        most = np.finfo(np.float64).max
        ends = np.full((len(edges), 1), most)
        bounds = np.concatenate([-ends, edges, ends], axis=1)
        return Cells(bounds.astype(np.float64), counts.astype(np.int64), state.vectors[MISSING])


@dataclass(frozen=True)
class Cells:
    """Counted cells: column j has counts[j, c] values x with bounds[j, c] <= x < bounds[j, c + 1].

    ``bounds`` float64[columns, cells + 1], ``counts`` int64[columns, cells], ``missing``
    float[columns]. Exact for the rows of the clients that answered in the last round.
    """

    bounds: Floats
    counts: npt.NDArray[np.int64]
    missing: npt.NDArray[np.floating]

    @property
    def outermost(self) -> npt.NDArray[np.bool_]:
        """Bool[columns, cells]: the first and the last cell that hold a value."""
        filled, at = self.counts > 0, np.arange(self.counts.shape[1])
        first, last = self._ends()
        found: npt.NDArray[np.bool_] = filled & (
            (at == first[:, np.newaxis]) | (at == last[:, np.newaxis])
        )
        return found

    @property
    def least(self) -> tuple[Floats, Floats]:
        """Between which two values the least of each column lies, float64[columns] each."""
        return self._bracket(self._ends()[0])

    @property
    def greatest(self) -> tuple[Floats, Floats]:
        """Between which two values the greatest of each column lies, float64[columns] each."""
        return self._bracket(self._ends()[1])

    def quantile(self, shares: Floats) -> tuple[Floats, Floats]:
        """Return quantiles and how far off they may be, float64[columns, shares] each.

        The pooled quantile is the linear interpolation of the two nearest ordered values, as
        ``numpy.quantile`` takes it; NaN for a column without values.
        """
        shares = np.asarray(shares, dtype=np.float64)
        found = np.full((2, len(self.counts), len(shares)), np.nan)
        for index, counts in enumerate(self.counts):
            total = int(counts.sum())
            if total:
                found[:, index] = self._quantiles(index, total, shares)
        return found[0], found[1]

    def binning(self, bins: int) -> Binning:
        """Return quantile bins, as ``features.binning.fit`` chooses them of the pooled rows.

        A cell counts as one value: where no cell holds two different values, rows get the same
        codes. Otherwise a bin's rows differ from that by at most a cell's on each side.
        """
        columns = range(len(self.counts))
        return Binning(tuple(self._thresholds(index, bins) for index in columns), bins + 1)

    def equal_width(self, bins: int) -> Binning:
        """Return bins of equal width between the least and the greatest value (outer bounds)."""
        low, high = self.least[0], self.greatest[1]
        steps = np.linspace(low, high, bins + 1, axis=1)[:, 1:-1]
        return Binning(tuple(np.unique(line) for line in steps), bins + 1)

    def _ends(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        filled = self.counts > 0
        return filled.argmax(axis=1), filled.shape[1] - 1 - filled[:, ::-1].argmax(axis=1)

    def _bracket(self, cell: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        column = np.arange(len(cell))
        some = self.counts[column, cell] > 0
        low, high = self.bounds[column, cell], self.bounds[column, cell + 1]
        return np.where(some, low, 0.0), np.where(some, high, 0.0)

    def _quantiles(self, index: int, total: int, shares: Floats) -> Floats:
        """Return values and widths, float64[2, shares]."""
        place = (total - 1) * shares
        rank = np.floor(place).astype(np.int64)
        upper = np.minimum(rank + 1, total - 1)
        before = np.concatenate([[0], np.cumsum(self.counts[index])])
        part = place - rank
        ends = []
        for order in (rank, upper):
            cell = np.searchsorted(before, order, side="right") - 1
            ends.append((self.bounds[index, cell], self.bounds[index, cell + 1]))
        (low, high), (low_up, high_up) = ends
        least = low * (1 - part) + low_up * part
        most = high * (1 - part) + high_up * part
        return np.stack([least + (most - least) / 2, most - least])

    def _thresholds(self, index: int, bins: int) -> Floats:
        filled = np.flatnonzero(self.counts[index])
        if len(filled) < 2:
            return np.empty(0)
        starts = bin_starts(self.counts[index, filled], bins)
        last, first = filled[starts - 1], filled[starts]
        # Between two cells with a gap the middle of the gap is as good for new values as any.
        end, begin = self.bounds[index, last + 1], self.bounds[index, first]
        return np.where(end < begin, between(end, begin), begin)
