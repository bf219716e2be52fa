"""Draws out of those members of a population that are there, however many were ever registered."""

from __future__ import annotations

import numpy as np

from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.selection.pool import Clients, Pool


class AmongPresent(Participation):
    """Draws as ``Participation`` does, out of the eligible alone.

    Of a population few are there at a time; draws out of all its numbers would mostly miss. It
    looks at all of them once a round, which takes about a millisecond for a million.
    """

    def select(self, pool: Pool, generator: np.random.Generator) -> Clients:
        """See ``Participation.select``; nothing is remembered of earlier rounds."""
        there = pool.permitted(np.arange(pool.registered))
        return there[super().select(Pool(len(there), pool.round), generator)]
