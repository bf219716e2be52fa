"""The error tree: whose fault it was, with a stable code, the place and a hint.

    AtollError
    ├── UserError       bad input of the person or program that called
    ├── PeerError       another party broke the protocol, refused or failed
    ├── NetworkError    a party could not be reached in time
    └── InternalError   a fault of ours

Each code ``ATL-<AREA>-<NNN>`` has a page in ``docs/errors``. Messages never hold data values.
"""

from __future__ import annotations

from typing import Any

# What partners are sent of a failure whose own code may depend on this party's values.
OWN_FAILURE = "ATL-WRK-014"


class AtollError(Exception):
    """An error with an address: stable code, party, phase, place and hint.

    ``place`` states where in the input it happened (a file and row, a field); ``exit_code`` is what
    the command line returns; ``retryable`` states that the same again may succeed later.
    """

    exit_code = 1
    retryable = False
    # Whether the code stays at this party: a label may decide which one it is.
    withheld = False

    def __init__(
        self,
        code: str,
        message: str,
        *,
        party: str | None = None,
        phase: str | None = None,
        place: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.party = party
        self.phase = phase
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        parts = [f"{self.code}: {self.message}"]
        if self.place:
            parts.append(f"at {self.place}")
        if self.party:
            parts.append(f"party {self.party}")
        if self.phase:
            parts.append(f"phase {self.phase}")
        text = ", ".join(parts)
        return f"{text} (hint: {self.hint})" if self.hint else text

    @property
    def public(self) -> str:
        """The code that partners are sent."""
        return OWN_FAILURE if self.withheld else self.code

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form; absent parts are left out."""
        whole = {
            "code": self.code,
            "kind": type(self).__name__,
            "message": self.message,
            "party": self.party,
            "phase": self.phase,
            "place": self.place,
            "hint": self.hint,
            "public": self.public if self.withheld else None,
        }
        return {key: value for key, value in whole.items() if value is not None}

    def located(self, *, party: str | None = None, phase: str | None = None) -> AtollError:
        """Fill in party and phase where they are still unknown, and return the same error."""
        self.party = self.party or party
        self.phase = self.phase or phase
        return self


class UserError(AtollError):
    """What was asked for or handed in cannot be used."""

    exit_code = 2


class DataError(UserError):
    """A table or file breaks a rule; ``place`` names the row or column."""

    exit_code = 9


class PeerError(AtollError):
    """Another party sent what the protocol does not allow, refused, or failed."""

    exit_code = 1


class NetworkError(AtollError):
    """A party could not be reached within its deadline."""

    exit_code = 6
    retryable = True


class InternalError(AtollError):
    """A fault of ours: please report it."""

    exit_code = 1


class CancelledError(AtollError):
    """The work was cancelled by request."""

    exit_code = 8
