"""Which secure sum runs, decided before the plan is signed."""

from __future__ import annotations

from atoll.channel.party import Party
from atoll.core.errors import UserError
from atoll.operators.secure_sum import ideal
from atoll.operators.secure_sum.api import (
    Implementation,
    SumInputs,
    SumParameters,
    SumResult,
    in_round,
)
from atoll.operators.secure_sum.masked import party as masked
from atoll.operators.setting import Setting


def choose(setting: Setting, named: Implementation | None = None) -> Implementation:
    """Return the implementation that the parameters name, else the masked sum. Reveals: nothing."""
    return named or "masked"


def run(
    party: Party,
    inputs: SumInputs,
    parameters: SumParameters,
    implementation: str = "masked",
    *,
    round_: int = 0,
) -> SumResult:
    """Add the clients' vectors at the aggregator, once for each round.

    Each round (0, 1, …) has fresh keys and masks, a session and a lane of its own. A client notes
    the round durably before its vector leaves (``Party.once``): no attempt sums it once more.
    Reveals: see ``REVEALS``. Errors: ATL-SUM-005 for an unknown implementation; those of each.
    """
    match implementation:
        case "masked":
            return masked.run(in_round(party, round_), inputs, parameters, round_)
        case "ideal":
            return ideal.run(in_round(party, round_), inputs, parameters)
    raise UserError("ATL-SUM-005", "the secure sum has no such implementation")
