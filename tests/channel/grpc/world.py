"""Parties with real keys on loopback, and certificates that break a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from atoll.channel.grpc import GrpcTransport, WireSettings
from atoll.channel.identity import Identity, Peer, certificates
from atoll.core.errors import AtollError
from atoll.core.names import Scope

SCOPE = Scope("job", "task", 0)
# Wide enough for a machine with more work than cores.
CALM = WireSettings(
    silence_seconds=20.0,
    heartbeat_seconds=0.5,
    connect_seconds=20.0,
    handshake_seconds=10.0,
    linger_seconds=10.0,
)
# For tests that wait for a limit to pass.
HASTY = WireSettings(
    silence_seconds=1.0,
    heartbeat_seconds=0.1,
    connect_seconds=20.0,
    handshake_seconds=2.0,
    linger_seconds=2.0,
)
# Generous: only a hang reaches it.
LONG = 30.0


def refused(*codes: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: error.code in codes)


class Authority:
    """A party's certificate authority, which signs whatever a test wants."""

    def __init__(self, party: str, **ca: Any) -> None:
        self.party = party
        self.key = certificates.new_key("p256")
        self.certificate = make_authority(party, self.key, **ca)

    @property
    def pem(self) -> bytes:
        return certificates.pem(self.certificate)

    def issue(
        self,
        names: Sequence[x509.GeneralName] | None = None,
        *,
        common_name: str = "node",
        begins: timedelta = timedelta(hours=-1),
        ends: timedelta = timedelta(days=30),
        key: certificates.PrivateKey | None = None,
    ) -> tuple[bytes, certificates.PrivateKey]:
        """Return a certificate (PEM) with these names, and its key, a fresh one unless given."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        wanted = names
        if wanted is None:
            wanted = [x509.DNSName(certificates.dns_name(self.party))]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )
        if wanted:
            builder = builder.add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        return certificates.pem(builder.sign(self.key, hashes.SHA256())), key

    def identity(self, party: str, peers: Sequence[Authority], **leaf: Any) -> Identity:
        """Return a party whose certificate is by this authority and which pins the others."""
        certificate, key = self.issue(**leaf)
        pins = {peer.party: Peer(peer.party, peer.pem) for peer in peers}
        return Identity(party, certificate, self.pem, key, pins)


def make_authority(
    party: str, key: certificates.PrivateKey, *, ends: timedelta = timedelta(days=30)
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"authority of {party}")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def identities(*parties: str) -> dict[str, Identity]:
    """Return parties that trust each other."""
    authorities = {party: Authority(party) for party in parties}
    return {
        party: authority.identity(party, [a for p, a in authorities.items() if p != party])
        for party, authority in authorities.items()
    }


@contextmanager
def pair(
    settings: WireSettings = CALM,
    through: Callable[[str], str] = lambda address: address,
    others: WireSettings | None = None,
) -> Iterator[tuple[GrpcTransport, GrpcTransport]]:
    """Connect shop, which dials ``through`` something, to bank, which listens (``others``)."""
    who = identities("shop", "bank")
    bank = GrpcTransport(who["bank"], ["shop"], listen="127.0.0.1:0", settings=others or settings)
    assert bank.address is not None
    addresses = {"bank": through(bank.address)}
    shop = GrpcTransport(who["shop"], ["bank"], addresses=addresses, settings=settings)
    try:
        yield shop, bank
    finally:
        # Cutting both is quicker than parting when a test has broken the link.
        shop.abort("ATL-INT-001", "test")
        bank.abort("ATL-INT-001", "test")


def text(body: bytes | memoryview) -> str:
    return bytes(body).decode()
