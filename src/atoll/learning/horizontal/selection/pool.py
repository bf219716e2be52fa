"""What a choice of clients is made from, and what is remembered of earlier rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError
from atoll.learning.horizontal.algorithm import Vectors

Clients = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Eligible = Callable[[Clients], Flags]
RowCounts = Callable[[Clients], Floats]

# All names of a memory begin so: a checkpoint holds them among the state's vectors.
PREFIX = "selection."
SEEN, LOSS, ROWS = PREFIX + "client", PREFIX + "loss", PREFIX + "rows"
SECONDS, LAST, PACE = PREFIX + "seconds", PREFIX + "last", PREFIX + "pace"


@dataclass(frozen=True)
class ClientReport:
    """What a client reports of one round: mean loss of the weights it was sent, rows, seconds.

    It shows the aggregator this client's own loss and size. One that is not ``usable`` is left out
    of every choice. Errors of ``check``: ATL-HOR-046.
    """

    loss: float
    rows: int
    seconds: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether each figure is finite, and neither rows nor seconds are below 0."""
        sized = 0 <= self.rows < 1 << 53 and 0 <= self.seconds < math.inf
        return sized and math.isfinite(self.loss)

    def check(self) -> ClientReport:
        """Return this report if it is usable: for whoever receives it."""
        if not self.usable:
            raise DataError("ATL-HOR-046", "a client's report of its round holds no usable figures")
        return self


@dataclass(frozen=True)
class Pool:
    """What a round's clients are chosen from.

    ``memory`` is what ``Participation.remember`` returned last. ``eligible`` and ``rows`` answer
    for an array of clients' numbers: bool[n], float64[n]; both are asked for candidates only.
    """

    registered: int
    round: int = 0
    memory: Vectors = field(default_factory=dict)
    eligible: Eligible | None = None
    rows: RowCounts | None = None

    def permitted(self, numbers: Clients) -> Clients:
        """Return those of ``numbers`` that may take part now, in their order."""
        if self.eligible is None or not len(numbers):
            return numbers
        return numbers[self.eligible(numbers)]

    @property
    def seen(self) -> Clients:
        """The numbers of the clients that reported ever, ascending."""
        return self.memory.get(SEEN, np.empty(0)).astype(np.int64)

    def recall(self, name: str, numbers: Clients, missing: float) -> Floats:
        """Return what is remembered of ``numbers``, float64[n]; ``missing`` for those not seen."""
        result = np.full(len(numbers), missing)
        seen = self.seen
        if len(seen):
            at = np.minimum(np.searchsorted(seen, numbers), len(seen) - 1)
            known = seen[at] == numbers
            result[known] = self.memory[name][at[known]]
        return result


def remembered(memory: Vectors, round_: int, reports: Mapping[int, ClientReport]) -> Vectors:
    """Return the memory after a round's reports: float64 vectors by client, ascending numbers.

    Its size is the number of clients that ever reported, not of those registered.
    """
    if not reports:
        return memory
    numbers = np.array(sorted(reports), dtype=np.int64)
    parts = [reports[int(number)] for number in numbers]
    new = {
        LOSS: np.array([part.loss for part in parts]),
        ROWS: np.array([part.rows for part in parts], dtype=np.float64),
        SECONDS: np.array([part.seconds for part in parts]),
        LAST: np.full(len(numbers), float(round_)),
    }
    seen = memory.get(SEEN, np.empty(0)).astype(np.int64)
    union = np.union1d(seen, numbers)
    result = {**memory, SEEN: union.astype(np.float64)}
    for name, values in new.items():
        whole = np.zeros(len(union))
        if len(seen):
            whole[np.searchsorted(union, seen)] = memory[name]
        whole[np.searchsorted(union, numbers)] = values
        result[name] = whole
    return result
