"""What a population's server answers: one request, one answer, no sockets.

Enrolment needs a code; everything else a certificate of a member, which is looked up in the table
with each request. A refusal is a code and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from atoll.channel.identity.certificates import present
from atoll.channel.outbound import certificates
from atoll.channel.outbound.dialer import BUSY
from atoll.core.clock import Clock, SystemClock
from atoll.core.errors import AtollError, PeerError
from atoll.core.message import Message
from atoll.flow.populations.folder import Population
from atoll.flow.populations.limits import LimitRules, Limits
from atoll.flow.populations.log import Refusals
from atoll.flow.populations.store import MOST_MEMBERS, Member, PopulationStore
from atoll.jobs.errors import DeniedError
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.clients import Outbound
from atoll.learning.horizontal.population.messages import PIECE, PIECE_OVERHEAD, SMALL_BYTES

Handler = Callable[["PopulationService", "Caller", bytes], Message]
# Limits that were used are looked through so often, in seconds, and refusals are written.
_TIDY = 60.0


@dataclass(frozen=True)
class Caller:
    """Whose request it is: a member's number, or None where a code decides; and its address."""

    address: str
    member: int | None = None

    @property
    def name(self) -> str:
        """Who it is in the log."""
        return self.address if self.member is None else f"client {self.member}"

    @property
    def number(self) -> int:
        """The member's number, of one that has one."""
        if self.member is None:
            raise DeniedError("ATL-POP-013", "this needs the certificate of a member")
        return self.member


class PopulationService:
    """Answers requests of one population; owned by the server's thread.

    ``now`` is the time of certificates, ``clock`` that of limits.
    """

    def __init__(
        self,
        population: Population,
        store: PopulationStore,
        clients: Outbound,
        now: Callable[[], datetime] = present,
        *,
        limits: LimitRules | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._population, self._store, self._clients = population, store, clients
        self._digest = population.terms.digest
        self._now, self._clock = now, clock or SystemClock()
        sent, returned = clients.sizes
        self._limits = Limits(
            limits or LimitRules(), clients.least_pace, 4 * (sent + returned), MOST_MEMBERS
        )
        self._piece_bytes = {"fetch": 4 * min(PIECE, sent), "piece": 4 * min(PIECE, returned)}
        self._refusals, self._tidied = Refusals(), self._clock.now()
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
        now = self._clock.now()
        if now - self._tidied >= _TIDY:
            self._tidied = now
            self._limits.prune(now)
            self._store.note_refused(self._refusals)

    def close(self) -> None:
        """Write what was refused and not written yet."""
        self._store.note_refused(self._refusals)

    def most_bytes(self, what: str) -> int:
        """Return how long the body of a request may be, 0 for one that does not exist."""
        if what == "piece":
            return self._piece_bytes[what] + PIECE_OVERHEAD
        return SMALL_BYTES if what in _OPEN or what in _MEMBERS else 0

    def admit(self, what: str, certificate: bytes | None, address: str, length: int) -> Caller:
        """Return whose request this is, before its body of ``length`` bytes is read.

        ``certificate`` (DER) is what TLS proved of the other end. Errors: ATL-POP-004 and 013 no
        member, ATL-POP-032 to 035 it asks for more than it may.
        """
        caller = Caller(address)
        try:
            if what in _OPEN:
                self._limits.admit_stranger(address, self._clock.now())
                return caller
            caller = Caller(address, self._member(certificate).number)
            size = length if what == "piece" else self._piece_bytes.get(what, 0)
            self._limits.admit(caller.number, what, size, self._clock.now())
        except AtollError as error:
            self._refusals.note(caller.name, caller.member, error.code)
            raise
        return caller

    def too_long(self, caller: Caller) -> None:
        """Note a request whose body is longer than it may be, or states no length."""
        self._refused(caller, "ATL-POP-033")

    def unheld(self, caller: Caller) -> bytes | None:
        """Return the answer to a piece of a member that has no task, None for one that has."""
        code = self._clients.unheld(caller.number)
        if not code:
            return None
        self._refusals.note(caller.name, caller.member, code)
        return messages.Receipt(code).encode()

    def busy(self, caller: Caller, what: str, length: int) -> None:
        """Note a request that there was no place for, and take back its bytes: it comes again."""
        self._refusals.note(caller.name, caller.member, BUSY)
        size = length if what == "piece" else self._piece_bytes.get(what, 0)
        self._limits.unread(caller.number, size, self._clock.now())

    def answer(self, what: str, caller: Caller, body: bytes) -> bytes:
        """Answer a request of whom ``admit`` returned.

        Errors: ATL-POP-014, ATL-POP-019, ATL-POP-020, ATL-POP-023 other terms, ATL-COD-001 and 002
        malformed, and those of ``Outbound``.
        """
        try:
            if caller.member is None:
                return _OPEN[what](self, caller, body).encode()
            answer = _MEMBERS[what](self, caller, body)
        except AtollError as error:
            self._refused(caller, error.code)
            raise
        if isinstance(answer, messages.Receipt):
            self._limits.answered(caller.number, what, answer.code, self._clock.now())
            if answer.code:
                self._refusals.note(caller.name, caller.member, answer.code)
        return answer.encode()

    def _refused(self, caller: Caller, code: str) -> None:
        self._refusals.note(caller.name, caller.member, code)
        if caller.member is None:
            self._limits.failed_attempt(caller.address, self._clock.now())

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

    def _terms(self, _: Caller, body: bytes) -> Message:
        ask = messages.AskTerms.decode(body)
        self._store.check_code(ask.code, ask.secret)
        of = self._population
        authority = of.authority.public_bytes(Encoding.DER)
        return messages.Terms(of.terms.document(), authority, of.signature)

    def _enrol(self, caller: Caller, body: bytes) -> Message:
        ask = messages.Enrol.decode(body)
        self._require_terms(ask.digest)
        public = certificates.read_request(ask.request)
        certificates.verify_agreement(public, ask.digest, ask.code, ask.agreement)
        key = certificates.key_hash(public)
        member = self._store.enrol(
            ask.code, ask.secret, key, ask.digest, ask.agreement, caller.address
        )
        self._clients.register(member.number)
        made = self._population.issue_member(member.number, public, self._now())
        return messages.Certified(member.number, made.public_bytes(Encoding.DER))

    # --- with a certificate ---

    def _check_in(self, caller: Caller, body: bytes) -> Message:
        ask, number = messages.CheckIn.decode(body), caller.number
        self._require_terms(ask.digest)
        now = self._clock.now()
        answer = self._clients.check_in(number, ask, self._limits.slowed(number, now))
        if isinstance(answer, messages.Task):
            self._limits.tasked(number, answer.token, now)
        return answer

    def _fetch(self, caller: Caller, body: bytes) -> Message:
        return self._clients.fetch(caller.number, messages.Fetch.decode(body))

    def _piece(self, caller: Caller, body: bytes) -> Message:
        return messages.Receipt(self._clients.take(caller.number, messages.Piece.decode(body)))

    def _finish(self, caller: Caller, body: bytes) -> Message:
        return messages.Receipt(self._clients.finish(caller.number, messages.Finish.decode(body)))

    def _failed(self, caller: Caller, body: bytes) -> Message:
        return messages.Receipt(self._clients.failed(caller.number, messages.Failed.decode(body)))

    def _renew(self, caller: Caller, body: bytes) -> Message:
        number = caller.number
        public = certificates.read_request(messages.Renew.decode(body).request)
        if certificates.key_hash(public) != self._store.member(number).key:
            raise PeerError("ATL-POP-013", "a further certificate is for the same key")
        made = self._population.issue_member(number, public, self._now())
        self._store.note("renewed", caller.address, "", number)
        return messages.Certified(number, made.public_bytes(Encoding.DER))

    def _leave(self, caller: Caller, body: bytes) -> Message:
        messages.Leave.decode(body)
        number = caller.number
        self._store.end(number, "left", caller.address)
        self._ended.add(number)
        self._clients.end(number)
        return messages.Receipt("")

    def _require_terms(self, digest: bytes) -> None:
        if digest != self._digest:
            raise PeerError("ATL-POP-023", "the client agreed to other terms")


_OPEN: dict[str, Handler] = {
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
