"""The calls between nodes about sessions: open a seat under this number, that seat has ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import Field, StrictInt, StrictStr, ValidationError

from atoll.channel.grpc.failures import CallRefusedError
from atoll.channel.grpc.gateway import Gateway
from atoll.core import codec
from atoll.core.errors import AtollError, NetworkError, PeerError
from atoll.core.strict import WireValue, read, reason
from atoll.flow.node.standing.agreement import FIRST_SESSION, Agreement, SessionBook
from atoll.flow.node.standing.notices import Notices
from atoll.jobs.errors import DeniedError

KIND = "session"
OPEN, ENDED = "open", "ended"
_CALL_BYTES = 4096
# What a partner sends about the agreement itself, its bounds and its grant.
_OF_AGREEMENT = frozenset({f"ATL-AGR-00{n}" for n in range(1, 6)} | {"ATL-POL-001", "ATL-POL-005"})


@dataclass(frozen=True)
class SessionMessage(WireValue):
    """What one node sends another about a session, and its answer: the number free there."""

    do: StrictStr
    agreement: StrictStr
    session: Annotated[StrictInt, Field(ge=FIRST_SESSION, lt=1 << 31)]
    plan: StrictStr

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return codec.encode(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> SessionMessage:
        """Read it. Errors: ATL-COD-001, ATL-COD-002."""
        value = codec.decode(data, limit=_CALL_BYTES)
        try:
            return read(cls, value)
        except ValidationError as error:
            raise PeerError(
                "ATL-COD-002", f"this is no message about a session: {reason(error)}"
            ) from error


class Inviting:
    """Calls the partners of an agreement."""

    def __init__(self, book: SessionBook, gateway: Gateway, call_seconds: float) -> None:
        self._book = book
        self._gateway = gateway
        self._seconds = call_seconds
        self._notices = Notices(gateway, KIND, call_seconds)

    def invite(self, agreement: Agreement) -> int:
        """Have every partner open its seat of a new session; return its number.

        A partner whose own numbers are ahead may raise it once. Errors: those of the agreement, its
        bounds and grants as a partner sends them, ATL-AGR-007 it opens none.
        """
        number, raised = self._try(agreement, FIRST_SESSION)
        if raised:
            number, raised = self._try(agreement, max(raised.values()))
        if raised:
            raise PeerError(
                "ATL-AGR-007", "a partner raises the number of a session twice", party=min(raised)
            )
        return number

    def _try(self, agreement: Agreement, least: int) -> tuple[int, dict[str, int]]:
        """Take a number and have it opened; return it, and what partners would have instead.

        One that is given up ends at every partner: those that took it hold a worker for it.
        """
        number, agreed = self._book.open_session(agreement.id, least), False
        try:
            found = {p: self._call(agreement, number, p) for p in self._partners(agreement)}
            raised = {peer: free for peer, free in found.items() if free > number}
            agreed = not raised
        finally:
            if not agreed:
                self._book.close_session(agreement.id, number, (), ())
                self.send_ended(agreement, number)
        return number, raised

    def send_ended(self, agreement: Agreement, number: int) -> None:
        """Have the partners notified that a seat here has ended, as well as that goes; return at
        once.
        """
        message = SessionMessage(ENDED, agreement.id, number, agreement.plan.digest()).encode()
        for peer in self._partners(agreement):
            self._notices.send(peer, message)

    def close(self) -> None:
        """Send what waits as far as a short time allows; may be called again."""
        self._notices.close()

    def _partners(self, agreement: Agreement) -> list[str]:
        return sorted(agreement.plan.parties_of(agreement.step) - {self._gateway.party})

    def _call(self, agreement: Agreement, number: int, peer: str) -> int:
        """Ask one partner; return the number that it takes."""
        message = SessionMessage(OPEN, agreement.id, number, agreement.plan.digest())
        try:
            answer = self._gateway.call(peer, KIND, message.encode(), self._seconds)
        except CallRefusedError as error:
            if error.peer_code in _OF_AGREEMENT:
                raise DeniedError(
                    error.peer_code,
                    "the partner's node serves nothing more under this agreement",
                    party=peer,
                    place=agreement.id,
                ) from error
            raise PeerError(
                "ATL-AGR-007",
                f"the partner's node opens no session ({error.peer_code})",
                party=peer,
                place=agreement.id,
            ) from error
        except AtollError as error:
            raise NetworkError(
                "ATL-AGR-007",
                f"the partner's node is not reached ({error.code})",
                party=peer,
                place=agreement.id,
                hint=error.hint,
            ) from error
        return max(SessionMessage.decode(bytes(answer)).session, number)
