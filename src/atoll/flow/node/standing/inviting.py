"""The calls between nodes about sessions: open a seat under this number, that seat has ended."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import Field, StrictInt, StrictStr, ValidationError

from atoll.channel.grpc.failures import CallRefusedError
from atoll.channel.grpc.gateway import Gateway
from atoll.core import codec
from atoll.core.errors import AtollError, NetworkError, PeerError
from atoll.core.strict import WireValue, read, reason
from atoll.flow.node.standing.agreement import FIRST_SESSION, Agreement, SessionBook
from atoll.jobs.errors import DeniedError

_LOG = logging.getLogger(__name__)
KIND = "session"
OPEN, ENDED = "open", "ended"
_CALL_BYTES = 4096
_ROUNDS = 4
# What a partner sends about the agreement itself holds here as well.
_OF_AGREEMENT = frozenset({"ATL-AGR-001", "ATL-AGR-002", "ATL-AGR-003"})


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

    def invite(self, agreement: Agreement) -> int:
        """Have every partner open its seat of a new session; return its number.

        Errors: ATL-AGR-001 to ATL-AGR-003 as a partner sends, ATL-AGR-007 it opens none.
        """
        least = FIRST_SESSION
        for _ in range(_ROUNDS):
            number = self._book.open_session(agreement.id, least)
            try:
                least = max(self._call(agreement, number, p) for p in self._partners(agreement))
            except BaseException:
                self._book.close_session(agreement.id, number, (), ())
                self.send_ended(agreement, number)
                raise
            if least == number:
                return number
            self._book.close_session(agreement.id, number, (), ())
        raise PeerError("ATL-AGR-007", "the partners find no number for a session")

    def send_ended(self, agreement: Agreement, number: int) -> None:
        """Notify the partners that a seat here has ended, as well as that goes."""
        message = SessionMessage(ENDED, agreement.id, number, agreement.plan.digest())
        for peer in self._partners(agreement):
            try:
                self._gateway.call(peer, KIND, message.encode(), self._seconds)
            except AtollError as error:
                _LOG.info("%s was not notified that a session ended: %s", peer, error)

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
                    "the partner's node states that this agreement does not hold there any more",
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
