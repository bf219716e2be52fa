"""Moments of pooled columns and then their quantiles, as one step.

Revealed: what ``Moments`` reveals, then the counts of ``Sketch`` in cells that are refined by mass.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.learning.horizontal.algorithm import ClientResult, ClientWork, State, Vectors
from atoll.learning.horizontal.features.api import PartyStep, StepSizes, unfinished
from atoll.learning.horizontal.features.moments import HIGH, LOW, Described, Moments
from atoll.learning.horizontal.features.sketch import EDGES, Cells, Sketch
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.sums import Extent, Update

Floats = npt.NDArray[np.float64]
BEGAN, BEFORE = "began", "moments."


class Summary(PartyStep):
    """The rounds of ``Moments``, then those of a ``Sketch`` within the range that they found.

    Errors: those of both.
    """

    cells: int = Field(default=256, ge=16, le=1 << 16, description="cells of each column")
    range_rounds: int = Field(default=3, ge=1, le=16, description="rounds that find the range")
    rounds: int = Field(default=5, ge=1, le=64, description="rounds of quantiles at most")

    @property
    def moments(self) -> Moments:
        """The first rounds."""
        return Moments(range_rounds=self.range_rounds, cells=self.cells)

    @property
    def sketch(self) -> Sketch:
        """The rounds after them."""
        return Sketch(cells=self.cells, rounds=self.rounds, tolerance=2 / self.cells)

    @property
    def most_rounds(self) -> int:
        """See ``FeatureStep.most_rounds``."""
        return self.moments.most_rounds + self.rounds

    @property
    def row_bound(self) -> float:
        """See ``PartyStep.row_bound``."""
        return self.moments.row_bound

    def sizes(self, columns: int) -> StepSizes:
        """See ``PartyStep.sizes``."""
        first, second = self.moments.sizes(columns), self.sketch.sizes(columns)
        return StepSizes(first.message, first.update, first.total + second.total)

    def asked(self, sent: Vectors) -> tuple[str, int]:
        """See ``PartyStep.asked``."""
        what, most = self.moments.asked(sent)
        return what, most + self.rounds if EDGES in sent else most

    def begin(self, columns: int) -> State:
        """See ``FeatureStep.begin``."""
        return self.moments.begin(columns)

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        if BEGAN in state.vectors:
            return self.sketch.message(_second(state))
        return self.moments.message(state)

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``: cells are counted alike in both."""
        return self.moments.client(work)

    def possible(self, found: Update, of: Extent) -> bool:
        """See ``Algorithm.possible``: cells are counted alike in both."""
        return self.moments.possible(found, of)

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        if BEGAN in state.vectors:
            after = self.sketch.aggregate(_second(state), total)
            return state.next(**after.vectors)
        after = self.moments.aggregate(state, total)
        if not self.moments.finished(after):
            return after
        low, high = (np.asarray(after.vectors[name], dtype=np.float64) for name in (LOW, HIGH))
        vectors: dict[str, Vector] = {BEFORE + n: vector for n, vector in after.vectors.items()}
        begun = self.sketch.begin(len(low), low, high)
        vectors[BEGAN] = np.array([float(after.round)])
        return State(after.round, {**vectors, **begun.vectors})

    def finished(self, state: State) -> bool:
        """See ``FeatureStep.finished``."""
        return BEGAN in state.vectors and self.sketch.finished(_second(state))

    def result(self, state: State) -> tuple[Described, Cells]:
        """Return statistics and counted cells. Errors: ATL-HOR-102 before the last round."""
        if not self.finished(state):
            raise unfinished("statistics")
        before = {n: v for n, v in state.vectors.items() if n.startswith(BEFORE)}
        first = {name.removeprefix(BEFORE): vector for name, vector in before.items()}
        return self.moments.result(State(0, first)), self.sketch.result(_second(state))


def _second(state: State) -> State:
    """Return the sketch's own state: its rounds begin where the moments' ended."""
    own = {n: v for n, v in state.vectors.items() if n != BEGAN and not n.startswith(BEFORE)}
    return State(state.round - int(state.vectors[BEGAN][0]), own)
