"""Which coin toss runs, decided before the plan is signed."""

from __future__ import annotations

from atoll.channel.party import Party
from atoll.core.errors import UserError
from atoll.operators.coin_toss import fixed, ideal
from atoll.operators.coin_toss.api import Implementation
from atoll.operators.coin_toss.commit import party as commit
from atoll.operators.coin_toss.relayed import party as relayed
from atoll.operators.setting import Setting


def choose(
    setting: Setting, number: int | None = None, *, hub: str | None = None
) -> Implementation:
    """Return the implementation for these parties and the job's seed. Reveals: nothing.

    Commit and reveal, through the ``hub`` where there is one, unless the job fixes the seed by a
    ``number``.
    """
    if number is not None:
        return "fixed"
    return "commit" if hub is None else "relayed"


def run(party: Party, implementation: str = "commit", number: int | None = None) -> bytes:
    """Toss a 32-byte seed with all parties of the job; everyone gets the same bytes.

    ``number`` is for ``fixed``, which sends nothing. Reveals: the seed, to all parties.
    Errors: ATL-TOS-001 a value that was not committed to, ATL-TOS-002 parties saw different
    commitments, ATL-TOS-003 unknown implementation, or one that does not fit ``number``,
    ATL-TOS-004 a hub passed on something else.
    """
    if (implementation == "fixed") != (number is not None):
        raise UserError("ATL-TOS-003", "a seed is fixed if and only if the job has a number for it")
    match implementation:
        case "fixed" if number is not None:
            return fixed.run(number)
        case "commit":
            return commit.run(party)
        case "relayed":
            return relayed.run(party)
        case "ideal":
            return ideal.run(party)
    raise UserError("ATL-TOS-003", "the coin toss has no such implementation")
