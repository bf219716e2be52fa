"""Partners of a node: trusted, invited, confirmed, pinged; and the node's own certificate."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, delete, insert, select, update

from atoll import __version__
from atoll.channel.grpc.gateway import Call, Gateway, enrol
from atoll.channel.identity import (
    Identity,
    Newest,
    Peer,
    check_address,
    confirm,
    distrust,
    fingerprint,
    keep_current,
    load_party,
    note_newest,
    renew,
    trust,
)
from atoll.channel.identity.certificates import read_ca
from atoll.core import codec
from atoll.core.errors import AtollError, NetworkError, PeerError, UserError
from atoll.flow.access.actors import Actor
from atoll.flow.access.audit import clean
from atoll.flow.access.service import Access
from atoll.flow.api.services import Listing, Page
from atoll.flow.node.jobs.answers import unexpected
from atoll.flow.node.jobs.refusals import worth_a_line
from atoll.flow.node.partners.announcing import Announcer
from atoll.flow.node.partners.invitations import BODY_BYTES, Invitations, read_code
from atoll.flow.store import schema
from atoll.flow.store.database import Database
from atoll.jobs.errors import NotFoundError

_LOG = logging.getLogger(__name__)
_ENROL_SECONDS = 30.0
_SHOW_SECONDS = 5.0
_SHOWN = 64
_WRITE = "party.write"
# Withdraws, in a transaction, what people allowed a party; returns what follows once it is written.
Withdraw = Callable[[Connection, str, str], Callable[[], None]]


class PartyService:
    """The partners: pins lie in the node's folder, their history in its database."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        gateway: Gateway,
        access: Access,
        *,
        advertise: str,
        call_seconds: float,
        wall: Callable[[], float] = time.time,
        changed: Callable[[Identity], None] = lambda identity: None,
        withdraw: Withdraw = lambda connection, party, by: lambda: None,
    ) -> None:
        self._folder = folder
        self._database = database
        self._gateway = gateway
        self._advertise = advertise
        self._seconds = call_seconds
        self._rotations: Counter[str] = Counter()
        self._wall = wall
        self._changed = changed
        self._withdraw = withdraw
        self._access = access
        self._audit = access.audit
        self._lock = threading.RLock()
        self._invitations = Invitations(wall, access.audit)
        self._announcer = Announcer(self._show)
        self.identity = load_party(folder)
        gateway.noticed = self.noticed
        self._open_enrolment()

    def start(self) -> None:
        """Show the partners this node's certificate, in the background."""
        self._announcer.start(self._dialled())

    def close(self) -> None:
        """End the background thread."""
        self._announcer.close()

    def list(self, *, limit: int, after: str | None) -> Page:
        """Return partners by name."""
        names = sorted(name for name in self.identity.peers if after is None or name > after)
        views = [self._view(name) for name in names[:limit]]
        return Page(views, names[limit - 1] if len(names) > limit else None)

    def add(
        self, party: str, authority: str, address: str | None, actor: Actor
    ) -> Mapping[str, Any]:
        """Trust a partner's authority (PEM). Errors: those of ``channel.identity.trust``."""
        self._trust(party, authority.encode(), address, by=actor)
        return self._view(party)

    def remove(self, party: str, actor: Actor) -> None:
        """Withdraw the trust: connections end at once, jobs with the partner fail.

        Its open codes of invitation end, too, or it could come back with one; so do its grants
        and standing agreements, or it would find them if it is trusted again.
        """
        with self._lock:
            self._access.confirm(actor, _WRITE, party)
            if party not in self.identity.peers:
                raise _unknown(party)
            self._gateway.remove_peer(party)
            distrust(self._folder, party)
            table = schema.peers
            now = self._wall()

            def write(connection: Connection) -> Callable[[], None]:
                row = update(table).where(table.c.party == party)
                connection.execute(row.values(revoked=now))
                self._invitations.withdraw_of(connection, party, actor.user)
                self._audit.record(connection, actor.user, "party.remove", party)
                return self._withdraw(connection, party, actor.user)

            follow = self._database.write(write)
            self._reload()
            follow()
        self._open_enrolment()

    def invite(self, party: str, actor: Actor) -> Mapping[str, Any]:
        """Make a one-time code. Errors: ATL-NOD-012 this node has no address for partners."""
        address = self._advertise or self._gateway.address
        if address is None:
            raise UserError(
                "ATL-NOD-012",
                "this node does not listen, so no one can accept its invitation",
                hint="set gateway.listen and gateway.advertise, or let the partner invite",
            )
        authority = _authority_digest(self.identity.ca)

        def make(connection: Connection) -> Any:
            name = self.identity.party
            return self._invitations.make(connection, name, party, address, authority, actor.user)

        made, expires = self._access.write(actor, _WRITE, make, party)
        self._open_enrolment()
        return {"id": made.id, "party": party, "code": made.code(), "expires": expires}

    def invitations(self, *, limit: int, after: str | None) -> Listing:
        """Return the codes that may still be used, without their secrets."""
        return self._database.read(lambda c: self._invitations.listing(c, limit=limit, after=after))

    def withdraw(self, number: str, actor: Actor) -> None:
        """End a code that was not used yet. Errors: ATL-NOD-034 there is none of this id."""
        user = actor.user
        self._access.write(
            actor, _WRITE, lambda c: self._invitations.withdraw(c, number, user), number
        )
        self._open_enrolment()

    def accept(self, code: str, address: str | None, actor: Actor) -> Mapping[str, Any]:
        """Use a partner's code: both nodes then trust each other.

        Nothing is dialled but the ``address`` that a person states, which must be the code's.
        Errors: ATL-NOD-010 no code, ATL-NOD-011 refused, ATL-NOD-013 for another party, ATL-NOD-033
        its address was not stated, those of ``channel.grpc.gateway.enrol`` and of ``trust``.
        """
        invitation = read_code(code)
        check_address(invitation.address, invitation.inviter)
        if invitation.invited != self.identity.party:
            raise UserError(
                "ATL-NOD-013", "the invitation is for another party", party=invitation.invited
            )
        if address != invitation.address:
            raise UserError(
                "ATL-NOD-033",
                f"the code of {invitation.inviter} leads to {invitation.address}",
                place="address",
                hint="if that is where its node listens, state this address with the code",
            )
        asked = {
            "id": invitation.id,
            "secret": invitation.secret,
            "party": self.identity.party,
            "authority": self.identity.ca,
            "address": self._advertise,
        }
        answer = enrol(
            invitation.address,
            invitation.inviter,
            invitation.authority,
            codec.encode(asked),
            min(self._seconds, _ENROL_SECONDS),
        )
        fields = _fields(bytes(answer), {"authority": bytes})
        if _authority_digest(fields["authority"]) != invitation.authority:
            raise PeerError(
                "ATL-NOD-014",
                "the partner answered with another authority than invited",
                party=invitation.inviter,
            )
        self._trust(invitation.inviter, fields["authority"], invitation.address, by=actor)
        return self._view(invitation.inviter)

    def answer_enrolment(self, call: Call) -> bytes:
        """Answer someone who brings a code; the address that it offers is not dialled yet.

        Errors: ATL-NOD-011, 014, those of ``trust``.
        """
        wanted: dict[str, type] = {
            "id": str, "secret": bytes, "party": str, "authority": bytes, "address": str,
        }  # fmt: skip
        number = ""
        try:
            fields = _fields(bytes(call.body), wanted)
            number, party = fields["id"], fields["party"]
            self._enrol(number, party, fields["secret"], fields["authority"], fields["address"])
        except Exception as error:
            # Whoever asks is no one yet: all strangers share the few lines of a minute.
            refused = ("anonymous", "invitation.use", clean(number, _SHOWN))
            self._audit.refused(*refused, code=unexpected(error).code, source="enrolment")
            raise
        finally:
            self._open_enrolment()
        return codec.encode({"authority": self.identity.ca})

    def _enrol(
        self, number: str, party: str, secret: bytes, authority: bytes, address: str
    ) -> None:
        read_ca(authority)
        check_address(address or None, party)
        # As one: trust that is withdrawn meanwhile ends the code before it, or the pin after it.
        with self._lock:
            self._database.write(lambda c: self._invitations.use(c, number, party, secret))
            self._trust(
                party, authority, None, address or None, by=Actor(f"party:{party}", frozenset())
            )

    def confirm(self, party: str, address: str, actor: Actor) -> Mapping[str, Any]:
        """Have a partner dialled at this address, which a person states.

        Errors: ATL-NOD-015 no such partner, ATL-PTY-014 not an address.
        """
        with self._lock:
            self._access.confirm(actor, _WRITE, party)
            if party not in self.identity.peers:
                raise _unknown(party)
            peer = confirm(self._folder, party, address)
            self._gateway.set_peer(peer.party, peer.ca, peer.address, peer.newest)
            table = schema.peers

            def write(connection: Connection) -> None:
                row = update(table).where(table.c.party == party)
                connection.execute(row.values(address=address))
                self._audit.record(connection, actor.user, "party.confirm", party, address=address)

            self._database.write(write)
            self._reload()
        return self._view(party)

    def noticed(self, party: str, newest: Newest) -> None:
        """Keep that a partner has shown a newer certificate: its keys before are refused."""
        with self._lock:
            if party not in self.identity.peers:
                return
            former = self.identity.peers[party].newest
            note_newest(self._folder, party, newest)
            self._reload()
            if former is None or not newest.ended(former):
                return
            before = self._rotations[party]
            self._rotations[party] = count = before + 1
        if worth_a_line(before, count):
            text = "%s has rotated its key (%d since the start); the one before is refused now"
            _LOG.warning(text, party, count)

    def ping(self, party: str) -> Mapping[str, Any]:
        """Ask a partner's node for a sign of life. Errors: those of ``Gateway.call``."""
        if party not in self.identity.peers:
            raise _unknown(party)
        started = time.monotonic()
        try:
            answer = self._gateway.call(party, "ping", b"", self._seconds)
        except NetworkError as error:
            raise error.located(party=party) from None
        seconds = time.monotonic() - started
        fields = _fields(bytes(answer), {"version": str})
        self.seen(party)
        return {
            "party": party,
            "reachable": True,
            "seconds": seconds,
            "version": fields["version"],
        }

    def answer_ping(self) -> bytes:
        """Answer a partner's ping."""
        return codec.encode({"version": __version__})

    def rotate(self, actor: Actor) -> Mapping[str, Any]:
        """Give the node a new key and certificate, and show them to the partners.

        A partner that has seen them refuses the key before. Those that were not reached are called
        until they are. Errors: ATL-PTY-002 the authority is the company's.
        """
        with self._lock:
            self._access.confirm(actor, _WRITE)
            identity = renew(self._folder)
            self._gateway.renew(identity.certificate, identity.key_pem())
            self._audit.note(actor.user, "party.rotate", identity.party)
            self._reload()
        dialled = self._dialled()
        missed = self._announcer.announce(dialled)
        ends = min(e.ends for e in identity.expiries() if e.what == "node")
        return {
            "fingerprint": fingerprint(identity.ca),
            "expires": ends.timestamp(),
            "notified": sorted(dialled - set(missed)),
            "waiting": sorted(identity.peers.keys() - dialled | set(missed)),
        }

    def keep_current(self) -> None:
        """Issue a further certificate for the node's key once the present one ends soon."""
        with self._lock:
            identity = keep_current(self._folder)
            if identity.certificate == self.identity.certificate:
                return
            self._gateway.renew(identity.certificate, identity.key_pem())
            self._reload()
        _LOG.info("the node's certificate was renewed")

    def _dialled(self) -> set[str]:
        return {name for name, peer in self.identity.peers.items() if peer.address is not None}

    def _show(self, party: str) -> None:
        self._gateway.call(party, "ping", b"", min(self._seconds, _SHOW_SECONDS))

    def seen(self, party: str) -> None:
        """Note that a partner's node gave a sign of life."""
        table, now = schema.peers, self._wall()
        self._database.write(
            lambda c: c.execute(update(table).where(table.c.party == party).values(seen=now))
        )

    def _trust(
        self,
        party: str,
        authority: bytes,
        address: str | None,
        offered: str | None = None,
        *,
        by: Actor,
    ) -> Peer:
        with self._lock:
            self._access.confirm(by, _WRITE, party)
            peer = trust(self._folder, party, authority, address, offered=offered)
            self._gateway.set_peer(peer.party, peer.ca, peer.address, peer.newest)
            row = {
                "party": party,
                "address": peer.address,
                "authority": peer.ca.decode(),
                "fingerprint": fingerprint(peer.ca),
                "added": self._wall(),
                "revoked": None,
            }

            def write(connection: Connection) -> None:
                table = schema.peers
                connection.execute(delete(table).where(table.c.party == party))
                connection.execute(insert(table).values(**row))
                self._audit.record(
                    connection,
                    by.user,
                    "party.add",
                    party,
                    fingerprint=row["fingerprint"],
                    address=peer.address,
                    offered=peer.offered,
                )

            self._database.write(write)
            self._reload()
            return peer

    def _reload(self) -> None:
        self.identity = load_party(self._folder)
        self._changed(self.identity)

    def _open_enrolment(self) -> None:
        self._gateway.set_enrolment(self._database.read(self._invitations.open))

    def _view(self, party: str) -> Mapping[str, Any]:
        peer = self.identity.peers.get(party)
        if peer is None:
            raise _unknown(party)
        table = schema.peers
        row = self._database.read(
            lambda c: (
                c.execute(select(table).where(table.c.party == party)).mappings().one_or_none()
            )
        )
        kept = {} if row is None else {key: row[key] for key in ("added", "seen")}
        return {
            "party": party,
            "address": peer.address,
            "unconfirmed": peer.offered,
            "fingerprint": fingerprint(peer.ca),
            **kept,
        }


def _authority_digest(pem: bytes) -> bytes:
    return hashlib.sha256(read_ca(pem).public_bytes(Encoding.DER)).digest()


def _fields(data: bytes, wanted: Mapping[str, type]) -> dict[str, Any]:
    """Decode what a partner sent. Errors: ATL-NOD-014 another shape."""
    try:
        value = codec.decode(data, limit=BODY_BYTES)
    except AtollError as error:
        raise _malformed() from error
    if type(value) is not dict or value.keys() != wanted.keys():
        raise _malformed()
    if any(type(value[name]) is not kind for name, kind in wanted.items()):
        raise _malformed()
    return value


def _malformed() -> PeerError:
    return PeerError("ATL-NOD-014", "the partner's node sent something else than it should")


def _unknown(party: str) -> NotFoundError:
    return NotFoundError(
        "ATL-NOD-015", "this party is no partner of this node", party=party, hint="atoll party list"
    )
