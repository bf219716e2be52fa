"""Who takes part in a round. A choice is made from public numbers and a generator alone."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Clients = npt.NDArray[np.int64]


class Participation(BaseModel):
    """How clients are drawn for each round, out of those that are registered.

    ``uniform`` draws ``count`` of them without replacement; ``poisson`` lets each take part with
    probability count / registered, so that the number varies. The work grows with ``count`` and not
    with the registered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["all", "uniform", "poisson"] = Field(
        default="uniform", description="how the clients of a round are drawn"
    )
    count: int = Field(default=100, ge=1, le=1 << 20, description="clients of a round, on average")

    def choose(self, registered: int, generator: np.random.Generator) -> Clients:
        """Return the numbers of this round's clients, ascending (int64, below ``registered``)."""
        if self.method == "all" or registered == 0:
            return np.arange(registered)
        count = min(self.count, registered)
        if self.method == "poisson":
            count = int(generator.binomial(registered, count / registered))
        return _distinct(registered, count, generator)


def _distinct(registered: int, count: int, generator: np.random.Generator) -> Clients:
    """Return ``count`` distinct numbers below ``registered``."""
    if count * 8 > registered:
        return np.sort(generator.permutation(registered)[:count])
    chosen = np.unique(generator.integers(0, registered, count))
    while len(chosen) < count:
        # Numbers drawn again replace those that were equal; each set stays equally likely.
        more = generator.integers(0, registered, count - len(chosen))
        chosen = np.unique(np.concatenate([chosen, more]))
    return chosen
