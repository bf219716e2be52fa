"""Counts by bin and class: weight of evidence and information value; the most frequent value.

Both take a sketch's rounds and then one more. Revealed besides the sketch's counts: rows of each
class (or all rows) by bin and column (``BinCounts``); the sum of the values in one cell a column
(``MostFrequent``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.learning.features import woe
from atoll.learning.features.binning import MOST_BINS, Binning
from atoll.learning.features.woe import WoeRule
from atoll.learning.horizontal.algorithm import ClientResult, ClientWork, State, Vectors
from atoll.learning.horizontal.features.api import (
    ROWS,
    FeatureStep,
    PartyStep,
    StepSizes,
    numbers,
    received,
    summed,
    unfinished,
    wrong_message,
)
from atoll.learning.horizontal.features.scaling import Imputation
from atoll.learning.horizontal.features.sketch import EDGES, Sketch
from atoll.learning.horizontal.models.outputs import Bernoulli
from atoll.learning.horizontal.sums import Update

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
THRESHOLDS, CLASSES, LOW, HIGH, AWAY = "thresholds", "classes", "low", "high", "away"
HELD = "held"
PADDING = float(np.finfo(np.float64).max)
MOST_ROWS = 1 << 53


def to_vector(binning: Binning) -> Floats:
    """Return all thresholds as one vector, float64[columns · (bins − 1)], unused ones at the end.

    An unused threshold is the greatest double, which no value lies beyond.
    """
    found = np.full((len(binning.thresholds), binning.width - 2), PADDING)
    for line, thresholds in zip(found, binning.thresholds, strict=True):
        line[: len(thresholds)] = thresholds
    return found.ravel()


def from_vector(vector: Floats, columns: int) -> Binning:
    """Return the bins that ``to_vector`` wrote. Errors: ATL-HOR-100."""
    if columns < 1 or not len(vector) or len(vector) % columns:
        raise wrong_message(THRESHOLDS)
    lines = vector.reshape(columns, -1)
    low, high = lines[:, :-1], lines[:, 1:]
    if ((high < low) | ((high == low) & (low < PADDING))).any():
        raise wrong_message(THRESHOLDS)
    return Binning(tuple(line[line < PADDING] for line in lines), lines.shape[1] + 2)


class BinCounts(PartyStep):
    """Rows of class 0 and 1 in each bin of each column; the missing values are a bin of their own.

    Bins are chosen first by ``sketch``, or given (``begin_with``; ``bins`` of them at most). Labels
    are 0 and 1; not ``labelled``: rows of all classes together. Errors: those of ``Sketch``,
    ATL-HOR-020 other labels.
    """

    method: Literal["quantile", "width"] = Field(
        default="quantile", description="bins of equally many rows, or of equal width"
    )
    bins: int = Field(default=10, ge=2, le=MOST_BINS, description="bins of a column at most")
    cells: int = Field(default=1024, ge=16, le=1 << 16, description="cells of the sketch")
    rounds: int = Field(default=7, ge=1, le=64, description="rounds of the sketch at most")
    labelled: bool = Field(default=True, description="whether rows are counted by class")

    @property
    def classes(self) -> int:
        """Counts of each bin."""
        return 2 if self.labelled else 1

    def sizes(self, columns: int) -> StepSizes:
        """See ``PartyStep.sizes``."""
        first = self.sketch.sizes(columns)
        message, update = columns * (self.bins - 1), columns * (self.bins + 1) * self.classes
        most = max(first.message, message), max(first.update, update)
        return StepSizes(*most, first.total + update + 1)

    def asked(self, sent: Vectors) -> tuple[str, int]:
        """See ``PartyStep.asked``."""
        if THRESHOLDS in sent:
            return "counts in bins", 1
        return self.sketch.asked(sent)

    @property
    def sketch(self) -> Sketch:
        """The rounds that choose the bins."""
        focus: Literal["quantiles", "ends"] = "quantiles" if self.method == "quantile" else "ends"
        return Sketch(cells=self.cells, rounds=self.rounds, focus=focus)

    @property
    def most_rounds(self) -> int:
        """See ``FeatureStep.most_rounds``."""
        return self.rounds + 1

    def begin(self, columns: int) -> State:
        """See ``FeatureStep.begin``."""
        return self.sketch.begin(columns)

    def begin_with(self, binning: Binning) -> State:
        """Return the state before the only round, with given bins."""
        return State(0, {THRESHOLDS: to_vector(binning), HELD: _held(binning)})

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        if THRESHOLDS not in state.vectors:
            return self.sketch.message(state)
        return {THRESHOLDS: state.vectors[THRESHOLDS]}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        if EDGES in work.sent:
            return self.sketch.client(work)
        rows = numbers(work.data.rows)
        columns, wide = rows.shape[1], self.bins + 1
        # More thresholds than planned would be more counts than planned.
        sent = received(work.sent, THRESHOLDS, columns * (self.bins - 1))
        cells = self.classes * from_vector(sent, columns).encode(rows).astype(np.int64)
        if self.labelled:
            cells += Bernoulli().check(work.data.targets).astype(np.int64)[:, np.newaxis]
        counts = np.empty((columns, wide * self.classes))
        for index in range(columns):
            counts[index] = np.bincount(cells[:, index], minlength=counts.shape[1])
        return ClientResult(Update({CLASSES: counts.ravel()}, {ROWS: float(len(rows))}))

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        if total.numbers[ROWS] <= 0:
            return state.next()
        if THRESHOLDS in state.vectors:
            size = len(state.vectors[HELD]) * (self.bins + 1) * self.classes
            return state.next(**{CLASSES: summed(total, CLASSES, size)})
        after = self.sketch.aggregate(state, total)
        if not self.sketch.finished(after):
            return after
        cells = self.sketch.result(after)
        quantile = self.method == "quantile"
        binning = cells.binning(self.bins) if quantile else cells.equal_width(self.bins)
        return State(after.round, {THRESHOLDS: to_vector(binning), HELD: _held(binning)})

    def finished(self, state: State) -> bool:
        """See ``FeatureStep.finished``."""
        return CLASSES in state.vectors

    def result(self, state: State) -> Evidence:
        """Return the counts by bin. Errors: ATL-HOR-102 before the last round."""
        if not self.finished(state):
            raise unfinished("bin counts")
        thresholds = np.asarray(state.vectors[THRESHOLDS], dtype=np.float64)
        binning = from_vector(thresholds, len(state.vectors[HELD]))
        counts = state.vectors[CLASSES].reshape(len(binning.thresholds), binning.width, -1)
        return Evidence(binning, np.rint(counts).astype(np.int64))

    def received(self, sent: Vectors, columns: int) -> Evidence:
        """Return what ``Evidence.vectors`` wrote of so many columns. Errors: ATL-HOR-100."""
        thresholds = received(sent, THRESHOLDS, columns * (self.bins - 1))
        counts = received(sent, CLASSES, columns * (self.bins + 1) * self.classes)
        if (counts < 0).any() or counts.max(initial=0) > MOST_ROWS:
            raise wrong_message(CLASSES)
        wide = counts.reshape(columns, self.bins + 1, self.classes)
        return Evidence(from_vector(thresholds, columns), np.rint(wide).astype(np.int64))


def _held(binning: Binning) -> Floats:
    """Return the number of thresholds of each column, float64[columns]."""
    return np.array([len(t) for t in binning.thresholds], dtype=np.float64)


@dataclass(frozen=True)
class Evidence:
    """Rows by column, bin and class: ``counts`` int64[columns, width, 2]; the last bin: missing.

    Where rows were not counted by class, ``counts`` is int64[columns, width, 1], and there is no
    evidence.
    """

    binning: Binning
    counts: Ints

    def vectors(self) -> Vectors:
        """Return the bins and counts as vectors, of which ``BinCounts.received`` makes them."""
        return {
            THRESHOLDS: to_vector(self.binning),
            CLASSES: self.counts.ravel().astype(np.float64),
        }

    def woe(self, smoothing: float = 0.5) -> Floats:
        """Return each bin's weight of evidence, float64[columns, width]; see ``WoeRule``."""
        return woe.weights(self.counts, WoeRule(smoothing))

    def iv(self, smoothing: float = 0.5) -> Floats:
        """Return each column's information value, float64[columns]."""
        return woe.information_value(self.counts, WoeRule(smoothing))

    def parts(self, smoothing: float = 0.5) -> Floats:
        """Return what each bin adds to the information value, float64[columns, width]."""
        return woe.parts(self.counts, WoeRule(smoothing))

    def apply(self, rows: Floats, smoothing: float = 0.5) -> Floats:
        """Return float64[n, columns] with each value replaced by its bin's weight of evidence."""
        codes = self.binning.encode(rows)
        return self.woe(smoothing)[np.arange(rows.shape[1]), codes]


class MostFrequent(FeatureStep):
    """Each column's most frequent value, the smallest of several: for imputation.

    The sketch finds the fullest cell, one more round the mean of the values in it. That is the
    value itself (to the nearest double) where the cell holds one value, which it does once a value
    of at least 2 / ``cells`` of the rows is ``resolution`` of the range away from others.
    """

    cells: int = Field(default=1024, ge=16, le=1 << 16, description="cells of the sketch")
    rounds: int = Field(default=7, ge=1, le=64, description="rounds of the sketch at most")
    resolution: float = Field(default=1e-6, ge=0, le=1, description="width of a cell, of the range")

    @property
    def sketch(self) -> Sketch:
        """The rounds that find the cell."""
        return Sketch(cells=self.cells, rounds=self.rounds, resolution=self.resolution)

    @property
    def most_rounds(self) -> int:
        """See ``FeatureStep.most_rounds``."""
        return self.rounds + 1

    def begin(self, columns: int) -> State:
        """See ``FeatureStep.begin``."""
        return self.sketch.begin(columns)

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        if LOW not in state.vectors:
            return self.sketch.message(state)
        return {name: state.vectors[name] for name in (LOW, HIGH)}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        if EDGES in work.sent:
            return self.sketch.client(work)
        rows = numbers(work.data.rows)
        low, high = (received(work.sent, name, rows.shape[1]) for name in (LOW, HIGH))
        inside = (rows >= low) & (rows < high)
        away = (np.where(inside, rows, low) - low) / np.where(high > low, high - low, 1.0)
        vectors = {AWAY: away.sum(axis=0), HELD: inside.sum(axis=0).astype(np.float64)}
        return ClientResult(Update(vectors, {ROWS: float(len(rows))}))

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        if total.numbers[ROWS] <= 0:
            return state.next()
        if LOW in state.vectors:
            columns = len(state.vectors[LOW])
            return state.next(**{name: summed(total, name, columns) for name in (AWAY, HELD)})
        after = self.sketch.aggregate(state, total)
        if not self.sketch.finished(after):
            return after
        cells = self.sketch.result(after)
        column, fullest = np.arange(len(cells.counts)), cells.counts.argmax(axis=1)
        low, high = cells.bounds[column, fullest], cells.bounds[column, fullest + 1]
        return State(after.round, {LOW: low, HIGH: high})

    def finished(self, state: State) -> bool:
        """See ``FeatureStep.finished``."""
        return AWAY in state.vectors

    def result(self, state: State) -> Imputation:
        """Return the values, NaN where a column has none. Errors: ATL-HOR-102 too early."""
        if not self.finished(state):
            raise unfinished("the most frequent values")
        low, high = state.vectors[LOW], state.vectors[HIGH]
        held = state.vectors[HELD]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(held > 0, state.vectors[AWAY] / held, np.nan)
        return Imputation(low + share * (high - low))
