"""Which coin toss runs, decided before the plan is signed."""

from __future__ import annotations

from atoll.channel.party import Party
from atoll.core.errors import UserError
from atoll.operators.coin_toss import ideal
from atoll.operators.coin_toss.api import Implementation
from atoll.operators.coin_toss.commit import party as commit


def choose(parties: int) -> Implementation:
    """Return the implementation for so many parties: commit and reveal. Reveals: nothing."""
    return "commit"


def run(party: Party, implementation: str = "commit") -> bytes:
    """Toss a 32-byte seed with all parties of the job; everyone gets the same bytes.

    Reveals: the seed, to all parties. Errors: ATL-TOS-001 a value that was not committed to,
    ATL-TOS-002 parties saw different commitments, ATL-TOS-003 unknown implementation.
    """
    match implementation:
        case "commit":
            return commit.run(party)
        case "ideal":
            return ideal.run(party)
    raise UserError("ATL-TOS-003", "the coin toss has no such implementation")
