"""Certificates of parties: made, read and judged.

A node's certificate carries exactly one dNSName, ``<party>.atoll.internal``; its common name is
never looked at. A party's own authority may, by its name constraint, vouch for that name alone.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from atoll.core.errors import PeerError, UserError

Kind = Literal["p256", "ed25519"]
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

SUFFIX = ".atoll.internal"
CA_LIFE = timedelta(days=3650)
# Whoever stole a key holds it for so long at most where the partner is kept from hearing.
NODE_LIFE = timedelta(days=30)
# From then on the node issues itself a further certificate for the same key.
RENEW_LEFT = timedelta(days=10)
# Clocks of two organisations differ a little.
SKEW = timedelta(hours=1)
CHAIN_LENGTH = 4
CHAIN_BYTES = 64 << 10
RSA_BITS = 2048
# What comes of parts that make no sense, or that the library does not know; most are read late.
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True)
class Newest:
    """The certificate of a party that was issued last, as far as one has seen.

    ``issued`` is when it begins (whole seconds since 1970), ``key`` the SHA-256 of its public key
    (DER) in hex. Another key that only older certificates are for was rotated away.
    """

    issued: int
    key: str

    @classmethod
    def of(cls, leaf: x509.Certificate) -> Newest:
        """Return what a certificate states."""
        key = hashlib.sha256(_public_bytes(leaf)).hexdigest()
        return cls(int(leaf.not_valid_before_utc.timestamp()), key)

    def ended(self, other: Newest) -> bool:
        """Return whether this one ends another's key."""
        return other.issued < self.issued and other.key != self.key


def dns_name(party: str) -> str:
    """Return the name that a party's certificate carries."""
    return party + SUFFIX


def new_key(kind: Kind) -> PrivateKey:
    """Make a private key. Errors: ATL-PTY-013 for an unknown kind."""
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise UserError("ATL-PTY-013", "a key is either p256 or ed25519")


def key_kind(key: PrivateKey) -> Kind:
    """Return the kind of a key."""
    return "p256" if isinstance(key, ec.EllipticCurvePrivateKey) else "ed25519"


def key_pem(key: PrivateKey) -> bytes:
    """Return a private key as unencrypted PKCS #8 in PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_key(pem: bytes) -> PrivateKey:
    """Read a private key. Errors: ATL-PTY-002 if it is neither P-256 nor Ed25519."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UserError("ATL-PTY-002", "a private key cannot be read") from error
    if isinstance(key, ed25519.Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key
    raise UserError("ATL-PTY-002", "a private key is neither P-256 nor Ed25519")


def _algorithm(key: PrivateKey) -> hashes.SHA256 | None:
    return hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None


def common_name(text: str) -> x509.Name:
    """Return a name for people to read; no verifier looks at it."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def draft(
    subject: x509.Name,
    issuer: x509.Name,
    public: PublicKey,
    begins: datetime,
    ends: datetime,
    *,
    signs: bool,
) -> x509.CertificateBuilder:
    """Return a certificate to be: of an authority of leaves alone if it ``signs``, else a leaf."""
    usage = x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
    basic = x509.BasicConstraints(ca=signs, path_length=0 if signs else None)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(basic, critical=True)
        .add_extension(usage, critical=True)
    )


def _node_name(party: str) -> x509.Name:
    return common_name(f"Atoll node {party}")


def make_ca(party: str, key: PrivateKey, now: datetime) -> x509.Certificate:
    """Make a party's own authority, which can vouch for that party's name and no other."""
    name = common_name(f"Atoll authority of {party}")
    public = key.public_key()
    only = x509.NameConstraints([x509.DNSName(dns_name(party))], None)
    return (
        draft(name, name, public, now - SKEW, now + CA_LIFE, signs=True)
        .add_extension(only, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, _algorithm(key))
    )


def make_node(
    party: str,
    public: PublicKey,
    ca: x509.Certificate,
    ca_key: PrivateKey,
    now: datetime,
    after: datetime | None = None,
) -> x509.Certificate:
    """Issue a node's certificate: one dNSName, for both ends of TLS.

    It begins later than the one that began at ``after``, so that partners see which is newer; but
    for one that begins in the future, which no partner took.
    """
    # Certificates count in whole seconds.
    begins = (now - SKEW).replace(microsecond=0)
    if after is not None and begins <= after <= now:
        begins = after + timedelta(seconds=1)
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    ends = min(now + NODE_LIFE, ca.not_valid_after_utc)
    return (
        draft(_node_name(party), ca.subject, public, begins, ends, signs=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name(party))]), critical=False)
        .add_extension(uses, critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca_key, _algorithm(ca_key))
    )


def make_request(party: str, key: PrivateKey) -> bytes:
    """Return a signing request (PEM) for a company's own authority."""
    names = x509.SubjectAlternativeName([x509.DNSName(dns_name(party))])
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_node_name(party))
        .add_extension(names, critical=False)
        .sign(key, _algorithm(key))
        .public_bytes(Encoding.PEM)
    )


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM)


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate (PEM) in groups of four digits, for reading aloud.

    ``openssl x509 -fingerprint -sha256`` shows the same digits. Errors: ATL-PTY-005.
    """
    digits = read_ca(certificate).fingerprint(hashes.SHA256()).hex().upper()
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def read_chain(text: bytes) -> list[x509.Certificate]:
    """Read one to four certificates in PEM. Errors: ValueError."""
    if len(text) > CHAIN_BYTES:
        raise ValueError("too long")
    try:
        chain = x509.load_pem_x509_certificates(text)
    except UNREADABLE as error:
        raise ValueError("not readable") from error
    if not 1 <= len(chain) <= CHAIN_LENGTH:
        raise ValueError("too many certificates")
    return chain


def _authority(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions
        basic = found.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False
    try:
        usage = found.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return basic.ca
    return basic.ca and usage.key_cert_sign


def read_ca(text: bytes) -> x509.Certificate:
    """Read the one certificate (PEM) of an authority.

    Errors: ATL-PTY-005 if it is not exactly one, not an authority's, or its key is weak.
    """
    try:
        chain = read_chain(text)
        key = chain[0].public_key()
        _ = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    except UNREADABLE as error:
        raise UserError("ATL-PTY-005", "this is not a certificate in PEM") from error
    if len(chain) != 1:
        raise UserError("ATL-PTY-005", "one certificate is expected, that of the authority")
    if not _authority(chain[0]):
        raise UserError("ATL-PTY-005", "the certificate is not that of an authority")
    strong = isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) or (
        isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS
    )
    if not strong:
        raise UserError("ATL-PTY-005", "the authority's key is too weak or of an unknown kind")
    return chain[0]


def same_authority(one: x509.Certificate, other: x509.Certificate) -> bool:
    """Return whether two certificates are of the same authority: the same key."""
    return _public_bytes(one) == _public_bytes(other)


def _public_bytes(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def only_name(certificate: x509.Certificate) -> str | None:
    """Return the certificate's dNSName if it has exactly one, and can be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return None
    found = names.get_values_for_type(x509.DNSName)
    return found[0] if len(found) == 1 else None


def check_chain(
    party: str,
    chain: Sequence[x509.Certificate],
    ca: x509.Certificate,
    now: datetime,
    *,
    kept: bool = False,
) -> PublicKey:
    """Judge a party's chain by the authority pinned for it; return the leaf's key.

    That of a ``kept`` document may have expired since it was signed; the authority may not.

    Errors: ATL-PTY-007 another authority, ATL-PTY-008 another name, ATL-PTY-009 expired,
    ATL-PTY-010 not valid yet.
    """
    try:
        return _judged(party, chain, ca, now, kept=kept)
    except UNREADABLE as error:
        # Its authority may sign what it likes: keys, dates and extensions without sense.
        raise PeerError(
            "ATL-PTY-007", "a part of the certificate cannot be read", party=party
        ) from error


def _judged(
    party: str,
    chain: Sequence[x509.Certificate],
    ca: x509.Certificate,
    now: datetime,
    *,
    kept: bool,
) -> PublicKey:
    leaf = chain[0]
    if only_name(leaf) != dns_name(party) or _authority(leaf):
        raise PeerError(
            "ATL-PTY-008", "the certificate does not carry exactly the party's name", party=party
        )
    path = [*chain, ca]
    for at, (below, above) in enumerate(itertools.pairwise(path)):
        if not _issued(below, above, at):
            raise PeerError(
                "ATL-PTY-007", "the certificate is not by the pinned authority", party=party
            )
    for certificate in [ca] if kept else path:
        check_period(certificate, now, party)
    key, _ = leaf.public_key(), leaf.not_valid_before_utc
    if isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key
    raise PeerError("ATL-PTY-007", "the party's key is neither P-256 nor Ed25519", party=party)


def _issued(below: x509.Certificate, above: x509.Certificate, depth: int) -> bool:
    if not _authority(above):
        return False
    limits = above.extensions.get_extension_for_class(x509.BasicConstraints).value
    if limits.path_length is not None and limits.path_length < depth:
        return False
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def check_period(certificate: x509.Certificate, now: datetime, party: str) -> None:
    """Check that a certificate is valid now. Errors: ATL-PTY-009, ATL-PTY-010."""
    if now > certificate.not_valid_after_utc:
        raise PeerError("ATL-PTY-009", "a certificate has expired", party=party)
    if now < certificate.not_valid_before_utc:
        raise PeerError("ATL-PTY-010", "a certificate is not valid yet", party=party)


def present() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)
