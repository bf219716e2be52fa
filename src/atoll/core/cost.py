"""What a protocol costs, declared as formulas of public sizes and compared with the counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from atoll.core.reveal import Values, evaluate

HEADER_BYTES = 128
EVERYONE = "everyone"


@dataclass(frozen=True)
class Edge:
    """What one seat sends to one other in a run, by their roles (``everyone``: any).

    ``size`` are payload bytes; the names and sizes around it add at most ``HEADER_BYTES`` to each
    of the ``messages``. Both are formulas as in ``core.reveal``.
    """

    sender: str
    receiver: str
    size: str
    messages: str

    def fits(self, sender: str, receiver: str) -> bool:
        """Return whether it is between seats of these roles."""
        return self.sender in (EVERYONE, sender) and self.receiver in (EVERYONE, receiver)


@dataclass(frozen=True)
class Cost:
    """Declared cost of one run between any number of seats.

    Each edge counts once for every ordered pair of seats of its roles, at the sizes of that pair.
    ``rounds`` is how often the guest, or everyone where all do the same, waits for a reply of one
    peer.
    """

    rounds: str
    edges: tuple[Edge, ...]

    def sent(self, sender: str, receiver: str, values: Values) -> tuple[int, int]:
        """Return bytes and messages from one seat to another, of these roles and at these sizes.

        Errors: ATL-REV-001.
        """
        found = [edge for edge in self.edges if edge.fits(sender, receiver)]
        size = sum(int(evaluate(edge.size, values)) for edge in found)
        return size, sum(int(evaluate(edge.messages, values)) for edge in found)

    def waits(self, values: Values) -> int:
        """Return the rounds at these sizes. Errors: ATL-REV-001."""
        return int(evaluate(self.rounds, values))

    def size(self, roles: Mapping[str, str], values: Callable[[str, str], Values]) -> int:
        """Return the payload bytes that all seats send: ``values`` are those of sender, receiver.

        Errors: ATL-REV-001.
        """
        return sum(
            int(evaluate(edge.size, values(one, other)))
            for one, sender in roles.items()
            for other, receiver in roles.items()
            for edge in self.edges
            if one != other and edge.fits(sender, receiver)
        )
