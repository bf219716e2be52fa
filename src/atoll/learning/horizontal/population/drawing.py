"""Draws out of those members of a population that are there, however many were ever registered."""

from __future__ import annotations

import numpy as np

from atoll.core.errors import UserError
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.selection.pool import Clients, Pool

_SEEN = "it needs the loss of each client, which members of a population do not report"
# Ways to draw that a population's server cannot keep to, and why.
REFUSED = {
    "power-of-choice": _SEEN,
    "oort": _SEEN,
    "poisson": "its chance is of all that are registered, and of them few are there at a time",
    "all": "the updates of all that are there need not fit into memory",
}


def require_draw(method: str) -> None:
    """Refuse a way to draw that a population's server cannot keep to. Errors: ATL-POP-036."""
    if method in REFUSED:
        raise UserError(
            "ATL-POP-036",
            f"clients of a population are not drawn by {method}: {REFUSED[method]}",
            place="draw",
            hint="draw them uniformly, or weighted by rows where the terms weigh by rows",
        )


class AmongPresent(Participation):
    """Draws as ``Participation`` does, out of the eligible alone.

    Of a population few are there at a time; draws out of all its numbers would mostly miss. It
    looks at all of them once a round, which takes about a millisecond for a million.
    """

    def select(self, pool: Pool, generator: np.random.Generator) -> Clients:
        """See ``Participation.select``; nothing is remembered of earlier rounds."""
        there = pool.permitted(np.arange(pool.registered))
        known = pool.rows
        rows = None if known is None else lambda at: known(there[at])
        return there[super().select(Pool(len(there), pool.round, rows=rows), generator)]
