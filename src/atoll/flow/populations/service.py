"""What a population's server answers: one request, one answer, no sockets.

Enrolment needs a code; everything else a certificate of a member, which is looked up in the table
with each request. A refusal is a code and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from atoll.channel.identity.certificates import present
from atoll.channel.outbound import certificates
from atoll.core.errors import PeerError
from atoll.core.message import Message
from atoll.flow.populations.folder import Population
from atoll.flow.populations.store import Member, PopulationStore
from atoll.jobs.errors import DeniedError
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.clients import OutboundClients
from atoll.learning.horizontal.population.messages import PIECE_BYTES, SMALL_BYTES

Handler = Callable[["PopulationService", int, bytes], Message]


class PopulationService:
    """Answers requests of one population; owned by the server's thread."""

    def __init__(
        self,
        population: Population,
        store: PopulationStore,
        clients: OutboundClients,
        now: Callable[[], datetime] = present,
    ) -> None:
        self._population, self._store, self._clients = population, store, clients
        self._digest = population.terms.digest
        self._now = now
        self._ended: set[int] = set()
        self._since = 0.0
        for number in range(store.count()):
            clients.register(number)
        self.refresh()

    def refresh(self) -> None:
        """Take out who was revoked by another process, so that no round waits for it."""
        found, self._since = self._store.ended(self._since)
        for number in set(found) - self._ended:
            self._ended.add(number)
            self._clients.end(number)

    @staticmethod
    def most_bytes(what: str) -> int:
        """Return how long the body of a request may be, 0 for one that does not exist."""
        if what == "piece":
            return PIECE_BYTES
        return SMALL_BYTES if what in _OPEN or what in _MEMBERS else 0

    def admit(self, what: str, certificate: bytes | None) -> int | None:
        """Return whose request this is, before its body is read; None where a code decides.

        ``certificate`` (DER) is what TLS proved of the other end. Errors: ATL-POP-004 and 013 no
        member.
        """
        return None if what in _OPEN else self._member(certificate).number

    def answer(self, what: str, member: int | None, body: bytes) -> bytes:
        """Answer a request of whom ``admit`` returned.

        Errors: ATL-POP-014, ATL-POP-019, ATL-POP-020, ATL-POP-023 other terms, ATL-COD-001 and 002
        malformed, and those of ``OutboundClients``.
        """
        if member is None:
            return _OPEN[what](self, body).encode()
        return _MEMBERS[what](self, member, body).encode()

    def _member(self, certificate: bytes | None) -> Member:
        if certificate is None:
            raise DeniedError("ATL-POP-013", "this needs the certificate of a member")
        leaf = certificates.read_certificate(certificate)
        number = certificates.judge_member(
            leaf, self._population.authority, self._population.terms.population, self._now()
        )
        member = self._store.member(number)
        if member.ended is not None:
            self._ended.add(number)
            self._clients.end(number)
            raise DeniedError("ATL-POP-004", "this client is no member of the population any more")
        public = leaf.public_key()
        if certificates.key_hash(public) != member.key:  # type: ignore[arg-type]
            raise DeniedError("ATL-POP-013", "the member has another key now")
        return member

    # --- with a code ---

    def _terms(self, body: bytes) -> Message:
        ask = messages.AskTerms.decode(body)
        self._store.check_code(ask.code, ask.secret)
        of = self._population
        authority = of.authority.public_bytes(Encoding.DER)
        return messages.Terms(of.terms.document(), authority, of.signature)

    def _enrol(self, body: bytes) -> Message:
        ask = messages.Enrol.decode(body)
        self._require_terms(ask.digest)
        public = certificates.read_request(ask.request)
        certificates.verify_agreement(public, ask.digest, ask.code, ask.agreement)
        key = certificates.key_hash(public)
        member = self._store.enrol(ask.code, ask.secret, key, ask.digest, ask.agreement)
        self._clients.register(member.number)
        made = self._population.issue_member(member.number, public, self._now())
        return messages.Certified(member.number, made.public_bytes(Encoding.DER))

    # --- with a certificate ---

    def _check_in(self, number: int, body: bytes) -> Message:
        ask = messages.CheckIn.decode(body)
        self._require_terms(ask.digest)
        return self._clients.check_in(number, ask)

    def _fetch(self, number: int, body: bytes) -> Message:
        return self._clients.fetch(number, messages.Fetch.decode(body))

    def _piece(self, number: int, body: bytes) -> Message:
        return messages.Receipt(self._clients.take(number, messages.Piece.decode(body)))

    def _finish(self, number: int, body: bytes) -> Message:
        return messages.Receipt(self._clients.finish(number, messages.Finish.decode(body)))

    def _failed(self, number: int, body: bytes) -> Message:
        return messages.Receipt(self._clients.failed(number, messages.Failed.decode(body)))

    def _renew(self, number: int, body: bytes) -> Message:
        public = certificates.read_request(messages.Renew.decode(body).request)
        if certificates.key_hash(public) != self._store.member(number).key:
            raise PeerError("ATL-POP-013", "a further certificate is for the same key")
        made = self._population.issue_member(number, public, self._now())
        return messages.Certified(number, made.public_bytes(Encoding.DER))

    def _leave(self, number: int, body: bytes) -> Message:
        messages.Leave.decode(body)
        self._store.end(number, "left")
        self._ended.add(number)
        self._clients.end(number)
        return messages.Receipt("")

    def _require_terms(self, digest: bytes) -> None:
        if digest != self._digest:
            raise PeerError("ATL-POP-023", "the client agreed to other terms")


_OPEN: dict[str, Callable[[PopulationService, bytes], Message]] = {
    "terms": PopulationService._terms,
    "enrol": PopulationService._enrol,
}
_MEMBERS: dict[str, Handler] = {
    "check-in": PopulationService._check_in,
    "fetch": PopulationService._fetch,
    "piece": PopulationService._piece,
    "finish": PopulationService._finish,
    "failed": PopulationService._failed,
    "renew": PopulationService._renew,
    "leave": PopulationService._leave,
}
