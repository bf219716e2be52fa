"""Draws that use no losses: uniform, Poisson, weighted by rows.

The work follows the number of clients that is asked for: where few are registered all are looked
at, where many are, numbers are drawn and those that do not fit are drawn again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from atoll.core.errors import UserError
from atoll.learning.horizontal.selection.pool import Clients, Flags, Pool

# So many draws for each client that is asked for; then a round has fewer.
TRIES = 64

Accept = Callable[[Clients], Flags]


def distinct(registered: int, count: int, generator: np.random.Generator) -> Clients:
    """Return ``count`` distinct numbers below ``registered``, int64[count], ascending."""
    if count * 8 > registered:
        return np.sort(generator.permutation(registered)[:count])
    chosen = np.unique(generator.integers(0, registered, count))
    while len(chosen) < count:
        # Numbers drawn again replace those that were equal; each set stays equally likely.
        more = generator.integers(0, registered, count - len(chosen))
        chosen = np.unique(np.concatenate([chosen, more]))
    return chosen


def uniform(pool: Pool, count: int, generator: np.random.Generator) -> Clients:
    """Return ``count`` eligible clients, each set equally likely, ascending; fewer if few are."""
    if pool.eligible is None:
        return distinct(pool.registered, min(count, pool.registered), generator)
    return np.sort(shuffled(pool, count, generator))


def poisson(pool: Pool, count: int, generator: np.random.Generator) -> Clients:
    """Let each eligible client take part with probability count / registered, independently."""
    share = min(1.0, count / pool.registered)
    drawn = distinct(pool.registered, int(generator.binomial(pool.registered, share)), generator)
    return pool.permitted(drawn)


def weighted(pool: Pool, count: int, most: int, generator: np.random.Generator) -> Clients:
    """Draw one after the other without replacement, each by its rows (at most ``most`` count).

    Errors: ATL-HOR-043 the pool has no row counts.
    """
    return np.sort(by_rows(pool, count, most, generator))


def by_rows(pool: Pool, count: int, most: int, generator: np.random.Generator) -> Clients:
    """Return the clients of ``weighted`` in the order in which they were drawn."""
    counts = pool.rows
    if counts is None:
        raise UserError(
            "ATL-HOR-043",
            "clients are to be drawn by their rows, and their numbers of rows are not known",
            hint="give Training(rows=...), or draw uniformly and weigh the updates by rows",
        )
    if pool.registered <= TRIES * count:
        numbers = pool.permitted(np.arange(pool.registered))
        rows = np.clip(counts(numbers), 0, most)
        numbers, rows = numbers[rows > 0], rows[rows > 0]
        # Exponential times by rates: who comes first is drawn by rate, and so on among the rest.
        order = np.argsort(generator.exponential(size=len(rows)) / rows, kind="stable")
        return numbers[order[:count]]

    def accept(drawn: Clients) -> Flags:
        flags: Flags = generator.random(len(drawn)) * most < counts(drawn)
        return flags

    return fill(pool, count, generator, accept)


def shuffled(pool: Pool, count: int, generator: np.random.Generator) -> Clients:
    """Return ``count`` eligible clients in random order; fewer if few are."""
    if pool.registered <= TRIES * count:
        return pool.permitted(generator.permutation(pool.registered))[:count]
    return fill(pool, count, generator)


def fill(
    pool: Pool, count: int, generator: np.random.Generator, accept: Accept | None = None
) -> Clients:
    """Draw until ``count`` distinct clients are eligible and accepted, or ``TRIES`` times as many.

    ``accept`` decides afresh at each draw, so it may be random; repeated numbers are left out.
    """
    kept, left = np.empty(0, dtype=np.int64), TRIES * count
    while len(kept) < count and left > 0:
        size = min(left, max(16, 2 * (count - len(kept))))
        drawn = generator.integers(0, pool.registered, size)
        left -= size
        if accept is not None:
            drawn = drawn[accept(drawn)]
        kept = _first_of_each(np.concatenate([kept, pool.permitted(drawn)]))[:count]
    return kept


def _first_of_each(numbers: Clients) -> Clients:
    _, first = np.unique(numbers, return_index=True)
    return numbers[np.sort(first)]
