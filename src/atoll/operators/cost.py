"""What an operator costs, declared as formulas of public sizes and compared with the counters."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.core.reveal import Values, evaluate

HEADER_BYTES = 128


@dataclass(frozen=True)
class Cost:
    """Declared cost between a guest and one host, in formulas as in ``core.reveal``.

    ``guest_to_host`` and ``host_to_guest`` are payload bytes; the names and sizes around it add at
    most ``HEADER_BYTES`` to each of the ``messages`` (both directions together). ``rounds`` is how
    often the guest waits for a reply.
    """

    rounds: str
    guest_to_host: str
    host_to_guest: str
    messages: str

    def estimate(self, values: Values) -> dict[str, int]:
        """Return every formula's value for these sizes. Errors: ATL-REV-001."""
        return {name: int(evaluate(text, values)) for name, text in vars(self).items()}
