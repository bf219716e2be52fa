"""What a run adds to the account of a table, in the unit ε that the ledger of a node counts.

The ledger (``flow/policy``) sums what was exposed of a table's content to each partner over all
jobs, and refuses what would pass a cap, before anything is computed. So no second account is kept
here: a component declares ``exposures`` in its terms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from atoll.core.errors import UserError
from atoll.core.exposure import EPSILON, UNCOUNTED, Exposure
from atoll.privacy.accounting.api import Guarantee

_FINEST = 1_000_000


@dataclass(frozen=True)
class Spending:
    """Two guarantees of one run: against readers of the model, and against the aggregator.

    ``aggregator`` is None where the aggregator is trusted with each sum as it is.
    """

    readers: Guarantee
    aggregator: Guarantee | None

    def exposures(self, client: str, aggregator: str) -> tuple[Exposure, ...]:
        """Return what a run exposes of each client's table, by roles, rounded up to 10^-6.

        Other clients read the model by way of the aggregator. A party in both roles is charged for
        both, which is more than it learns. Reveals: nothing. Errors: ATL-PRV-015 an ε that is not
        finite, which no cap can count.
        """
        readers = _whole(self.readers.epsilon)
        passed_on = Exposure(EPSILON, readers, aggregator, client)
        if self.aggregator is None:
            # It sees what no ε bounds: a grant must name the component for that.
            trusted = Exposure(UNCOUNTED, 1, client, aggregator)
            return (Exposure(EPSILON, readers, client, aggregator), passed_on, trusted)
        most = max(readers, _whole(self.aggregator.epsilon))
        return (Exposure(EPSILON, most, client, aggregator), passed_on)


def added(one: Guarantee, other: Guarantee) -> Guarantee:
    """Return what two runs on the same rows guarantee together: both ε and both δ add up.

    Reveals: nothing. Errors: ATL-PRV-015 other units or relations, which do not add. Source: Dwork,
    Roth 2014, theorem 3.16.
    """
    if (one.unit, one.relation) != (other.unit, other.relation):
        raise UserError(
            "ATL-PRV-015",
            "two privacy figures of other units or neighbouring relations do not add up",
        )
    return replace(
        one, epsilon=one.epsilon + other.epsilon, delta=one.delta + other.delta, by="sum"
    )


def _whole(epsilon: float) -> float:
    if not math.isfinite(epsilon):
        raise UserError("ATL-PRV-015", "an ε without bound cannot be charged")
    return math.ceil(epsilon * _FINEST) / _FINEST
