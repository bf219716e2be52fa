"""Draws by earlier losses: power-of-choice and Oort.

Both need each client's own loss, so they show it to the aggregator, and a secure sum alone does
not carry it. Who takes part then depends on data: privacy is not amplified by sampling.
Sources: Cho, Wang, Joshi, "Towards Understanding Biased Client Selection in Federated Learning"
(AISTATS 2022); Lai et al., "Oort: Efficient Federated Learning via Guided Participant Selection"
(OSDI 2021), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.selection import draws
from atoll.learning.horizontal.selection.pool import (
    LAST,
    LOSS,
    PACE,
    ROWS,
    SECONDS,
    ClientReport,
    Clients,
    Flags,
    Floats,
    Pool,
)


def power_of_choice(
    pool: Pool, count: int, candidates: int, most: int, generator: np.random.Generator
) -> Clients:
    """Draw ``candidates`` (by rows where they are known) and take those of the highest loss.

    The losses are each client's last ones (the paper's variant without another message); a client
    that never reported counts as the highest. Returns int64[≤ count], ascending.
    """
    if pool.rows is None:
        drawn = draws.shuffled(pool, candidates, generator)
    else:
        drawn = draws.by_rows(pool, candidates, most, generator)
    losses = pool.recall(LOSS, drawn, np.inf)
    return np.sort(drawn[np.argsort(-losses, kind="stable")[:count]])


class Oort(BaseModel):
    """How Oort weighs clients; the defaults are those of its paper and code.

    A client's use is its rows times its last mean loss (the paper takes the root of the mean
    square, which a model here does not report), less where it is slower than the pace.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exploration: float = Field(
        default=0.9, ge=0, le=1, description="share of clients that were never asked, at first"
    )
    decay: float = Field(default=0.98, gt=0, le=1, description="of that share, each round")
    least: float = Field(default=0.2, ge=0, le=1, description="that share at least")
    penalty: float = Field(default=2.0, ge=0, le=10, description="exponent of the pace over time")
    pace: float = Field(default=60.0, gt=0, le=1e9, description="seconds of a round, and its step")
    window: int = Field(default=20, ge=1, le=10_000, description="rounds until the pace may change")
    clip: float = Field(default=0.95, gt=0, le=1, description="quantile that bounds a client's use")
    cut: float = Field(default=0.95, gt=0, le=1, description="share of the last one's use to be in")

    def choose(self, pool: Pool, count: int, generator: np.random.Generator) -> Clients:
        """Return int64[≤ count], ascending: the most useful of those seen, and some never seen."""
        known = pool.permitted(pool.seen)
        share = max(self.least, self.exploration * self.decay**pool.round)
        wanted = count - min(len(known), count - round(share * count))
        fresh = self._unseen(pool, wanted, generator)
        useful = self._useful(pool, known, count - len(fresh), generator)
        return np.sort(np.concatenate([fresh, useful]))

    def remembered(
        self, memory: Vectors, round_: int, reports: Mapping[int, ClientReport]
    ) -> Vectors:
        """Return ``memory`` with the pace after this round: it slows when the use falls."""
        # pace, use of the last window, use of this one so far, rounds in it
        pace, last, this, rounds = memory.get(PACE, np.array([self.pace, 0, 0, 0])).tolist()
        this += sum(report.rows * report.loss for report in reports.values())
        rounds += 1
        if rounds >= self.window:
            pace += self.pace if last > this else 0
            last, this, rounds = this, 0.0, 0
        return {**memory, PACE: np.array([pace, last, this, rounds])}

    def use(self, pool: Pool, numbers: Clients) -> Floats:
        """Return the use of seen clients, float64[n], at least 0."""
        gain = pool.recall(ROWS, numbers, 0) * np.maximum(pool.recall(LOSS, numbers, 0), 0)
        if len(gain):
            gain = np.minimum(gain, np.quantile(gain, self.clip))
            gain = gain / (gain.max() or 1.0)
        since = np.maximum(pool.recall(LAST, numbers, 0), 0) + 1
        gain = gain + np.sqrt(0.1 * np.log(pool.round + 1) / since)
        pace = float(pool.memory[PACE][0]) if PACE in pool.memory else self.pace
        seconds = pool.recall(SECONDS, numbers, 0)
        slow = np.maximum(seconds / pace, 1.0)
        result: Floats = gain / slow**self.penalty
        return result

    def _useful(
        self, pool: Pool, known: Clients, count: int, generator: np.random.Generator
    ) -> Clients:
        if count <= 0 or not len(known):
            return known[:0]
        use = self.use(pool, known)
        if count >= len(known):
            return known
        least = self.cut * np.partition(use, -count)[-count]
        admitted = use >= least
        weights = np.maximum(use[admitted], 1e-12)
        order = np.argsort(generator.exponential(size=len(weights)) / weights, kind="stable")
        chosen: Clients = known[admitted][order[:count]]
        return chosen

    def _unseen(self, pool: Pool, count: int, generator: np.random.Generator) -> Clients:
        seen = pool.seen
        if count <= 0 or len(seen) >= pool.registered:
            return seen[:0]
        if pool.registered <= draws.TRIES * count:
            fresh = np.setdiff1d(np.arange(pool.registered), seen)
            order = generator.permutation(len(fresh))
            chosen: Clients = pool.permitted(fresh[order])[:count]
            return chosen

        def accept(drawn: Clients) -> Flags:
            flags: Flags = ~np.isin(drawn, seen)
            return flags

        return draws.fill(pool, count, generator, accept)
