"""A client's conversation with its population: enrolment, renewal, and the loop of its visits."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from atoll.channel.identity.certificates import pem, present
from atoll.channel.outbound import certificates, tls
from atoll.channel.outbound.codes import JoinCode
from atoll.channel.outbound.dialer import Dialer
from atoll.cli.client.folder import CERTIFICATE, KEY, ClientFolder, Joined
from atoll.core.errors import AtollError, NetworkError, PeerError
from atoll.core.message import Message
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.book import LAST_DAY, USED_UP, Book
from atoll.learning.horizontal.population.member import PopulationMember
from atoll.learning.horizontal.population.terms import PopulationTerms, read_terms

M = TypeVar("M", bound=Message)
# After these the aggregator takes nothing from this client any more.
ENDED = frozenset({"ATL-POP-004", "ATL-POP-013", "ATL-POP-023"})
DONE = frozenset({USED_UP, LAST_DAY})
_FIRST, _LONGEST = 1.0, 300.0
# Bytes that were sent are written to disk in such steps.
_SENT_BYTES = 64 << 10


def ask(dialer: Dialer, what: str, message: Message, *kinds: type[M]) -> M:
    """Send a request and read its answer. Errors: those of ``Dialer.call``, ATL-COD-001 and 002."""
    answer = dialer.call(what, message.encode())
    last: AtollError | None = None
    for kind in kinds:
        try:
            return kind.decode(answer)
        except PeerError as error:
            last = error
    raise last or PeerError("ATL-COD-002", "the answer is of another class")


class Enrolment:
    """Joining with a code: the terms first, then, once they are agreed to, the certificate."""

    def __init__(self, folder: ClientFolder, code: JoinCode, proxy: str | None = None) -> None:
        self._folder, self._code, self._proxy = folder, code, proxy
        name = certificates.server_name(code.population)
        self._dialer = Dialer(
            code.address,
            name,
            tls.enrolment_context(),
            lambda socket: tls.check_key(socket, code.key, code.population),
            proxy=proxy,
        )
        self._offer: messages.Terms | None = None

    def terms(self) -> PopulationTerms:
        """Return what is to be agreed to, signed by the population's authority.

        Errors: ATL-POP-016 another key, ATL-POP-019 the code does not count, ATL-POP-014 the
        signature, ATL-POP-001 and 002, ATL-POP-017.
        """
        question = messages.AskTerms(self._code.id, self._code.secret)
        offer = ask(self._dialer, "terms", question, messages.Terms)
        authority = certificates.read_certificate(offer.authority)
        certificates.verify_terms(authority, offer.document, offer.signature)
        terms = read_terms(offer.document)
        if terms.population != self._code.population:
            raise PeerError("ATL-POP-014", "the terms are of another population than the code")
        self._offer = offer
        return terms

    def agree(self, terms: PopulationTerms, data: str, id_column: str | None) -> Joined:
        """Sign the terms, enrol, and keep what came. Errors: as ``terms``; ATL-POP-013."""
        offer = self._offer
        if offer is None or offer.document != terms.document():
            raise PeerError("ATL-POP-014", "these terms were not offered")
        key, code = self._folder.key(), self._code
        agreement = certificates.sign_agreement(key, terms.digest, code.id)
        request = certificates.make_request(key)
        question = messages.Enrol(code.id, code.secret, terms.digest, request, agreement)
        made = ask(self._dialer, "enrol", question, messages.Certified)
        authority = certificates.read_certificate(offer.authority)
        leaf = certificates.read_certificate(made.certificate)
        number = certificates.judge_member(leaf, authority, code.population, present())
        joined = Joined(
            address=code.address, number=number, data=data, id_column=id_column, proxy=self._proxy
        )
        self._folder.join(offer.document, agreement, authority, leaf, joined)
        return joined

    def close(self) -> None:
        """Close the connection."""
        self._dialer.close()


class MemberSession:
    """A member's requests, under its certificate, which it renews in time."""

    def __init__(self, folder: ClientFolder) -> None:
        self._folder, self._joined = folder, folder.joined
        self._population = folder.terms().population
        self._authority = folder.authority()
        self._dialer = self._dial()
        self._sent = 0

    def __call__(self, what: str, message: Message, *kinds: type[M]) -> M:
        """See ``member.Ask``."""
        return ask(self._dialer, what, message, *kinds)

    def renew(self) -> None:
        """Get a further certificate for the same key, if it is time. Errors: as a request."""
        now = present()
        if self._folder.certificate().not_valid_after_utc - now > certificates.RENEW_LEFT:
            return
        request = messages.Renew(certificates.make_request(self._folder.key()))
        made = self("renew", request, messages.Certified)
        leaf = certificates.read_certificate(made.certificate)
        certificates.judge_member(leaf, self._authority, self._population, now)
        self._folder.keep_certificate(leaf)
        self.close()
        sent, self._dialer = self._dialer.sent, self._dial()
        self._dialer.sent = sent

    def keep_sent(self, book: Book, least: int = 1) -> None:
        """Count the bytes of requests since the last time, if there are so many."""
        more = self._dialer.sent - self._sent
        if more >= least:
            book.note("sent", more)
            self._sent += more

    def leave(self) -> None:
        """End the membership at the aggregator."""
        digest = self._folder.terms().digest
        self("leave", messages.Leave(digest), messages.Receipt)

    def close(self) -> None:
        """Close the connection."""
        self._dialer.close()

    def _dial(self) -> Dialer:
        root, population = self._folder.root, self._population
        authority = pem(self._authority).decode()
        context = tls.member_context(root / CERTIFICATE, root / KEY, authority)

        def check(socket: object) -> None:
            der = socket.getpeercert(binary_form=True)  # type: ignore[attr-defined]
            leaf = certificates.read_certificate(der or b"")
            certificates.judge_server(leaf, self._authority, population, present())

        name = certificates.server_name(population)
        return Dialer(self._joined.address, name, context, check, proxy=self._joined.proxy)


def visits(
    member: PopulationMember,
    session: MemberSession,
    stopping: threading.Event,
    note: Callable[[str], None],
) -> str:
    """Come and go until the terms are at their end, the membership is, or ``stopping``.

    Returns the code that it ended with, empty where it was stopped. What cannot be reached is asked
    again later, each time after longer, with jitter so that clients do not come all at once.
    """
    try:
        return _visits(member, session, stopping, note)
    finally:
        with suppress(AtollError):
            session.keep_sent(member.book)


def _visits(
    member: PopulationMember,
    session: MemberSession,
    stopping: threading.Event,
    note: Callable[[str], None],
) -> str:
    failures = 0
    while not stopping.is_set():
        try:
            session.renew()
            wait = member.visit()
            session.keep_sent(member.book, _SENT_BYTES)
            failures = 0
        except AtollError as error:
            if error.code in ENDED | DONE:
                return error.code
            session.close()
            failures += 1
            wait = min(_LONGEST, _FIRST * 2 ** min(failures - 1, 16))
            wait *= 0.5 + secrets.randbelow(1 << 20) / (1 << 20)
            kind = "not reached" if isinstance(error, NetworkError) else "refused"
            note(f"{kind} ({error.code}), asks again in {wait:.0f} s")
        stopping.wait(wait)
    return ""
