"""Both ε in every round's metrics, and an end before a budget would be passed.

One ε is against those who read the model, the other against the aggregator, who sees who takes
part and so gets no amplification by sampling (PROTOCOLS 10). Which rows make clients fail, or late,
is taken not to depend on their values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from atoll.core.errors import UserError
from atoll.learning.horizontal.postprocess.noise import CentralNoise, Noise
from atoll.learning.horizontal.training import Round, Training
from atoll.privacy.accounting.api import (
    Guarantee,
    Relation,
    Release,
    Sampling,
    require_delta,
    unaccounted,
)
from atoll.privacy.accounting.bounds import guarantee
from atoll.privacy.accounting.spending import Spending

READERS, AGGREGATOR, DELTA = "epsilon.readers", "epsilon.aggregator", "delta"
# Of δ, kept for rounds without a client, in which no noise is drawn either.
_EMPTY = 1e-3


@dataclass(frozen=True)
class Budget:
    """A callback of ``Training.run``: charges each round and ends before one too many.

    ``noise`` is the chain's, ``registered`` the clients to draw from; ``readers``, ``aggregator``
    bound the two ε at ``delta`` for one client under ``relation``. Sampling amplifies only if the
    training draws its clients from a secret. Every round is charged, also one that failed; what was
    charged follows from the number of the round. ``limit`` gives the training with no more rounds
    than fit, which also holds where it resumes at the end of its budget. Errors: ATL-HOR-073 a
    budget that no round fits, ATL-PRV-013 clients drawn as no bound covers.
    """

    noise: Noise
    training: Training
    registered: int
    delta: float
    relation: Relation = Relation.ADD_OR_REMOVE
    readers: float = math.inf
    aggregator: float = math.inf
    rounds: int = field(init=False)

    def __post_init__(self) -> None:
        require_delta(self.delta)
        if self.noise.aggregator() is None and math.isfinite(self.aggregator):
            raise _unfit("central noise protects nothing from the aggregator")
        self.sampling()
        object.__setattr__(self, "rounds", self._affordable())

    def __call__(self, done: Round) -> bool:
        """Write what was spent into the round's metrics; return whether to end here."""
        spent = self.spent(done.number + 1)
        done.metrics[READERS], done.metrics[DELTA] = spent.readers.epsilon, self.delta
        done.metrics[AGGREGATOR] = spent.aggregator.epsilon if spent.aggregator else math.inf
        return done.number + 1 >= self.rounds

    def limit(self) -> Training:
        """Return the training with no more rounds than the budget allows."""
        return replace(self.training, rounds=self.rounds)

    def spent(self, rounds: int) -> Spending:
        """Return what so many rounds guarantee against readers and against the aggregator."""
        seen = self.noise.aggregator()
        aggregator = None if seen is None else guarantee(seen, rounds, self.delta, self.relation)
        return Spending(self._of_readers(rounds), aggregator)

    def sampling(self) -> Sampling:
        """Return how clients are drawn, as far as it may be counted on."""
        chosen = self.training.participation
        if chosen.method not in ("all", "uniform", "poisson"):
            raise unaccounted(chosen.method)
        if self.training.secret is None or chosen.method == "all":
            return Sampling()
        return Sampling(chosen.method, min(chosen.count, self.registered), self.registered)

    def _of_readers(self, rounds: int) -> Guarantee:
        release = self.noise.readers(self.sampling())
        empty = self._empty(release) * rounds
        if not empty:
            return guarantee(release, rounds, self.delta, self.relation)
        found = guarantee(release, rounds, self.delta * (1 - _EMPTY), self.relation)
        if math.log(empty) + found.epsilon + 1 > math.log(self.delta * _EMPTY):
            return replace(found, epsilon=math.inf, delta=self.delta, by="rounds may be empty")
        return replace(found, delta=self.delta)

    def _empty(self, release: Release) -> float:
        """Return the chance that a round has no client and so no noise."""
        if release.sampling.method != "poisson" or not isinstance(self.noise, CentralNoise):
            return 0.0
        rate = min(release.sampling.rate, 1 - 2.0**-53)
        return math.exp((self.registered - 1) * math.log1p(-rate))

    def _affordable(self) -> int:
        most = self.training.rounds
        low, high = 0, most
        if (math.isinf(self.readers) and math.isinf(self.aggregator)) or self._fits(most):
            return most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(middle) else (low, middle)
        if not low:
            raise _unfit("not one round fits into this budget")
        return low

    def _fits(self, rounds: int) -> bool:
        spent = self.spent(rounds)
        if spent.readers.epsilon > self.readers:
            return False
        return spent.aggregator is None or spent.aggregator.epsilon <= self.aggregator


def _unfit(why: str) -> UserError:
    return UserError("ATL-HOR-073", why, hint="add noise, or allow a larger ε or δ")
