"""Certificates of a population: its authority, its server, its members.

A leaf carries exactly one dNSName, below ``POPULATION.atoll-clients.internal``; it is good for one
end of TLS alone. Common names are never looked at. Source: PROTOCOLS 11.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from atoll.channel.identity.certificates import (
    SKEW,
    UNREADABLE,
    common_name,
    draft,
    only_name,
)
from atoll.core.errors import PeerError
from atoll.core.names import party_id

SUFFIX = ".atoll-clients.internal"
AUTHORITY_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=30)
MEMBER_LIFE = timedelta(days=30)
# From then on a member asks for a further certificate.
RENEW_LEFT = timedelta(days=15)
REQUEST_BYTES = 8 << 10
_CLIENT = common_name("Atoll client")
_MEMBER = re.compile(r"c-(0|[1-9][0-9]{0,9})")
_TERMS, _AGREEMENT = b"atoll/population-terms/v1\0", b"atoll/population-agreement/v1\0"


def member_name(population: str, number: int) -> str:
    """Return the dNSName of a member."""
    return f"c-{number}.{party_id(population)}{SUFFIX}"


def server_name(population: str) -> str:
    """Return the dNSName of the population's server; no member has it."""
    return f"aggregator.{party_id(population)}{SUFFIX}"


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a key (P-256)."""
    return ec.generate_private_key(ec.SECP256R1())


def key_hash(public: ec.EllipticCurvePublicKey) -> bytes:
    """Return the SHA-256 of a public key (DER), 32 bytes."""
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public.public_bytes(*form)).digest()


def make_authority(
    population: str, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    """Make a population's authority, which can vouch for names below its own alone."""
    name, ends = common_name(f"Atoll population {population}"), now + AUTHORITY_LIFE
    only = x509.NameConstraints([x509.DNSName(party_id(population) + SUFFIX)], None)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        draft(name, name, key.public_key(), now - SKEW, ends, signs=True)
        .add_extension(only, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def make_leaf(
    name: str,
    public: ec.EllipticCurvePublicKey,
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    *,
    server: bool,
) -> x509.Certificate:
    """Issue the certificate of a member or of the server."""
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    ends = min(now + (SERVER_LIFE if server else MEMBER_LIFE), authority.not_valid_after_utc)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return (
        draft(_CLIENT, authority.subject, public, now - SKEW, ends, signs=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        .add_extension(issuer, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def make_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a signing request (DER). It names no one: the authority chooses the number."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_CLIENT)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def read_request(der: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a signing request that its owner signed. Errors: ATL-POP-012."""
    try:
        if len(der) > REQUEST_BYTES:
            raise ValueError("too long")
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        fits = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        if not fits or not request.is_signature_valid:
            raise ValueError("not P-256, or not signed by its own key")
    except UNREADABLE as error:
        raise PeerError("ATL-POP-012", "this is no signing request of a client") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise PeerError("ATL-POP-012", "this is no signing request of a client")
    return key


def read_certificate(der: bytes) -> x509.Certificate:
    """Read a certificate (DER). Errors: ATL-POP-013."""
    try:
        if len(der) > REQUEST_BYTES:
            raise ValueError("too long")
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise _unfit("it cannot be read") from error


def judge_member(
    leaf: x509.Certificate, authority: x509.Certificate, population: str, now: datetime
) -> int:
    """Return the number of the member whose certificate this is. Errors: ATL-POP-013."""
    name = _judged(leaf, authority, now, ExtendedKeyUsageOID.CLIENT_AUTH)
    first, _, rest = name.partition(".")
    found = _MEMBER.fullmatch(first)
    if found is None or rest != party_id(population) + SUFFIX:
        raise _unfit("it names no member of this population")
    return int(found[1])


def judge_server(
    leaf: x509.Certificate, authority: x509.Certificate, population: str, now: datetime
) -> None:
    """Check that a certificate is the population's server's. Errors: ATL-POP-013."""
    name = _judged(leaf, authority, now, ExtendedKeyUsageOID.SERVER_AUTH)
    if name != server_name(population):
        raise _unfit("it is not the population's server's")


def _judged(
    leaf: x509.Certificate,
    authority: x509.Certificate,
    now: datetime,
    purpose: x509.ObjectIdentifier,
) -> str:
    """Return the only name of a leaf that the authority issued for this purpose."""
    try:
        leaf.verify_directly_issued_by(authority)
        basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, TypeError, x509.ExtensionNotFound, *UNREADABLE) as error:
        raise _unfit("the population's authority did not issue it") from error
    if basic.ca or list(uses) != [purpose]:
        raise _unfit("it is for another use")
    for certificate in (leaf, authority):
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise _unfit("it has expired, or is not valid yet")
    name = only_name(leaf)
    if name is None:
        raise _unfit("it does not carry exactly one name")
    return name


def sign_terms(key: ec.EllipticCurvePrivateKey, document: bytes) -> bytes:
    """Return the authority's signature over the terms' document."""
    return key.sign(_TERMS + document, ec.ECDSA(hashes.SHA256()))


def verify_terms(authority: x509.Certificate, document: bytes, signature: bytes) -> None:
    """Check the authority's signature over the terms. Errors: ATL-POP-014."""
    _verify(authority.public_key(), signature, _TERMS + document)


def sign_agreement(key: ec.EllipticCurvePrivateKey, digest: bytes, code: str) -> bytes:
    """Return a client's signature: it agrees to the terms of this digest, by this code."""
    return key.sign(_AGREEMENT + digest + code.encode(), ec.ECDSA(hashes.SHA256()))


def verify_agreement(
    public: ec.EllipticCurvePublicKey, digest: bytes, code: str, signature: bytes
) -> None:
    """Check a client's agreement. Errors: ATL-POP-014."""
    _verify(public, signature, _AGREEMENT + digest + code.encode())


def _verify(public: object, signature: bytes, document: bytes) -> None:
    try:
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise InvalidSignature
        public.verify(signature, document, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise PeerError("ATL-POP-014", "a signature does not fit what it is under") from error


def _unfit(why: str) -> PeerError:
    return PeerError("ATL-POP-013", f"a certificate does not fit this population: {why}")
