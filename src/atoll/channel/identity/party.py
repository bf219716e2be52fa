"""A loaded party: its name, keys and certificates, and whom it trusts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from atoll.channel.identity import certificates
from atoll.channel.identity.certificates import Newest, PrivateKey, PublicKey
from atoll.core.errors import PeerError, UserError


@dataclass(frozen=True)
class Peer:
    """A partner: its party id, the authority (PEM) pinned for it, and where it listens, if known.

    ``address`` is ``host:port``, stated by this party's people; ``offered`` is one that the partner
    has sent, which is not dialled until they confirm it. ``newest`` is the certificate of it that
    was issued last, of those that it has shown.
    """

    party: str
    ca: bytes
    address: str | None = None
    offered: str | None = None
    newest: Newest | None = None


@dataclass(frozen=True)
class Expiry:
    """When a certificate ends. ``what`` is ``node``, ``authority`` or ``peer``."""

    what: str
    party: str
    ends: datetime
    days_left: float


@dataclass(frozen=True)
class Identity:
    """This party as it was loaded from its folder.

    ``certificate`` is the node's chain (PEM, leaf first), ``ca`` the authority (PEM) that partners
    pin, ``peers`` maps each trusted party to its pin. ``renews``: the authority's key is here, so
    that the node issues itself further certificates. The private key is not shown.
    """

    party: str
    certificate: bytes
    ca: bytes
    key: PrivateKey = field(repr=False)
    peers: Mapping[str, Peer] = field(default_factory=dict)
    renews: bool = False

    def key_pem(self) -> bytes:
        """Return the node's private key (PEM), for the transport."""
        return certificates.key_pem(self.key)

    def sign(self, document: bytes) -> bytes:
        """Sign bytes with the node's key: ECDSA with SHA-256, or Ed25519."""
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(document, ec.ECDSA(hashes.SHA256()))
        return self.key.sign(document)

    def secret(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose that no one without the node's key can make.

        HKDF with SHA-256 (RFC 5869) over the private key; another key gives another secret.
        """
        made = HKDF(hashes.SHA256(), 32, salt=None, info=f"atoll/{purpose}".encode())
        return made.derive(certificates.key_pem(self.key))

    def peer(self, party: str) -> Peer:
        """Return a trusted partner. Errors: ATL-PTY-012."""
        found = self.peers.get(party)
        if found is None:
            raise UserError(
                "ATL-PTY-012",
                "no authority is pinned for this party",
                party=party,
                hint="become partners: atoll party invite, or atoll party trust with its authority",
            )
        return found

    def public_key(
        self, party: str, certificate: bytes, *, kept: bool = False, now: datetime | None = None
    ) -> PublicKey:
        """Return the key of a chain (PEM) that the pinned authority gave this very party.

        That of a ``kept`` document may have expired since; none may have been rotated away.

        Errors: ATL-PTY-007 another authority, ATL-PTY-008 another name, ATL-PTY-009 expired,
        ATL-PTY-010 not valid yet, ATL-PTY-012 not trusted at all, ATL-PTY-015 rotated away.
        """
        peer = self._own() if party == self.party else self.peer(party)
        try:
            chain = certificates.read_chain(certificate)
        except ValueError as error:
            raise PeerError(
                "ATL-PTY-007", "what was sent is not a certificate", party=party
            ) from error
        moment = now or certificates.present()
        pinned = certificates.read_ca(peer.ca)
        key = certificates.check_chain(party, chain, pinned, moment, kept=kept)
        if peer.newest is not None and peer.newest.ended(Newest.of(chain[0])):
            raise PeerError(
                "ATL-PTY-015",
                "the party has rotated this key away",
                party=party,
                hint="ask the partner to sign it again with its present key",
            )
        return key

    def _own(self) -> Peer:
        """Return this party as its partners know it: a key that it rotated away has ended."""
        shown = Newest.of(certificates.read_chain(self.certificate)[0])
        return Peer(self.party, self.ca, newest=shown)

    def expiries(self, *, now: datetime | None = None) -> list[Expiry]:
        """Return when each certificate ends, the next one first."""
        moment = now or certificates.present()
        found = [
            Expiry(what, party, end, (end - moment).total_seconds() / 86400)
            for what, party, end in self._ends()
        ]
        return sorted(found, key=lambda expiry: expiry.ends)

    def _ends(self) -> Iterator[tuple[str, str, datetime]]:
        chain = certificates.read_chain(self.certificate)
        yield "node", self.party, min(entry.not_valid_after_utc for entry in chain)
        yield "authority", self.party, _end(self.ca)
        for peer in self.peers.values():
            yield "peer", peer.party, _end(peer.ca)

    def check_current(self, *, now: datetime | None = None) -> None:
        """Check that the node's own certificate is valid now. Errors: ATL-PTY-009, ATL-PTY-010."""
        leaf: x509.Certificate = certificates.read_chain(self.certificate)[0]
        certificates.check_period(leaf, now or certificates.present(), self.party)


def _end(ca: bytes) -> datetime:
    return certificates.read_ca(ca).not_valid_after_utc
