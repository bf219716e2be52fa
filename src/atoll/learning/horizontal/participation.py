"""Who takes part in a round.

``all``, ``uniform`` and ``poisson`` choose by public numbers and a generator alone; ``weighted`` by
the clients' numbers of rows; ``power-of-choice`` and ``oort`` by the losses of earlier rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.selection import draws
from atoll.learning.horizontal.selection.losses import Oort, power_of_choice
from atoll.learning.horizontal.selection.pool import (
    ClientReport,
    Clients,
    Pool,
    remembered,
)

__all__ = ["ClientReport", "Clients", "Participation", "Pool"]


class Participation(BaseModel):
    """How clients are drawn for each round, out of those that are registered and eligible.

    ``uniform`` draws ``count`` of them without replacement; ``poisson`` lets each take part with
    probability count / registered, so that the number varies; ``weighted`` draws one after the
    other by rows (updates then count equally, not by rows again). The work grows with ``count`` and
    not with the registered; ``oort`` looks at those that it has seen as well.

    ``power-of-choice`` and ``oort`` take clients by their own last losses, which each reports to
    the aggregator: a secure sum alone does not carry them, and sampling amplifies no privacy. Nor
    does it with ``over`` above 1, where the fastest count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["all", "uniform", "poisson", "weighted", "power-of-choice", "oort"] = Field(
        default="uniform", description="how the clients of a round are drawn"
    )
    count: int = Field(default=100, ge=1, le=1 << 20, description="clients of a round, on average")
    over: float = Field(
        default=1.0, ge=1, le=8, description="clients that are asked, as a multiple of count"
    )
    minimum: int = Field(
        default=1, ge=1, le=1 << 20, description="a round of fewer answers changes nothing"
    )
    candidates: int | None = Field(
        default=None, ge=1, le=1 << 20, description="of power-of-choice; empty: twice the count"
    )
    most_rows: int = Field(
        default=1000, ge=1, le=1 << 40, description="rows of a client that count in a draw by rows"
    )
    oort: Oort = Oort()

    @property
    def needs_losses(self) -> bool:
        """Whether each client must report its loss to the aggregator."""
        return self.method in ("power-of-choice", "oort")

    @property
    def amplifies(self) -> bool:
        """Whether who takes part follows from secret draws alone, so that sampling may amplify
        privacy: uniform or Poisson, without over-selection.
        """
        return self.method in ("uniform", "poisson") and self.over == 1

    @property
    def asked(self) -> int:
        """How many clients a round asks, on average: ``count`` times ``over``, rounded up."""
        return math.ceil(round(self.count * self.over, 9))

    def choose(self, registered: int, generator: np.random.Generator) -> Clients:
        """Return the numbers of a first round's clients, all of them eligible: see ``select``."""
        return self.select(Pool(registered), generator)

    def select(self, pool: Pool, generator: np.random.Generator) -> Clients:
        """Return the numbers of this round's clients, ascending (int64, below the registered).

        Errors: ATL-HOR-043 a draw by rows without row counts.
        """
        if self.method == "all" or pool.registered == 0:
            return pool.permitted(np.arange(pool.registered))
        if self.method == "poisson":
            return draws.poisson(pool, self.asked, generator)
        if self.method == "weighted":
            return draws.weighted(pool, self.asked, self.most_rows, generator)
        if self.method == "power-of-choice":
            candidates = max(self.asked, self.candidates or 2 * self.asked)
            return power_of_choice(pool, self.asked, candidates, self.most_rows, generator)
        if self.method == "oort":
            return self.oort.choose(pool, self.asked, generator)
        return draws.uniform(pool, self.asked, generator)

    def remember(
        self, memory: Vectors, round_: int, reports: Mapping[int, ClientReport]
    ) -> Vectors:
        """Return what later rounds are chosen by: nothing for methods that use no losses."""
        if not self.needs_losses:
            return {}
        usable = {number: report for number, report in reports.items() if report.usable}
        memory = remembered(memory, round_, usable)
        if self.method == "oort":
            memory = self.oort.remembered(memory, round_, usable)
        return memory
