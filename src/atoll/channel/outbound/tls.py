"""TLS for a population: 1.3 only, no resumption and no early data, one authority and one name."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from atoll.channel.outbound.certificates import key_hash, read_certificate, server_name
from atoll.core.errors import PeerError

PROTOCOL = "http/1.1"


def server_context(certificate: Path, key: Path, authority: str) -> ssl.SSLContext:
    """Return the server's context; ``authority`` (PEM) is the only one that members have.

    A client without a certificate is let in to enrol: who asks must look at the certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _common(context)
    # A resumed session would skip the check of the certificate.
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=authority)
    return context


def member_context(certificate: Path, key: Path, authority: str) -> ssl.SSLContext:
    """Return a member's context: this authority's server, and no other, is spoken to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _common(context)
    context.hostname_checks_common_name = False
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=authority)
    return context


def enrolment_context() -> ssl.SSLContext:
    """Return the context of a client without anything but a code: ``check_key`` must follow."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _common(context)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def check_key(socket: ssl.SSLSocket, key: bytes, population: str) -> None:
    """Check that the other end proved the key of a code, before anything is sent.

    Errors: ATL-POP-016 another key.
    """
    der = socket.getpeercert(binary_form=True)
    public = None if der is None else read_certificate(der).public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or key_hash(public) != key:
        raise PeerError(
            "ATL-POP-016",
            "the server has another key than the code names",
            hint=f"someone may be in between, or {server_name(population)} has a new key: ask for "
            "another code",
        )


def authority_hash(authority: x509.Certificate) -> bytes:
    """Return the SHA-256 of an authority's certificate (DER), for people to compare."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return hashlib.sha256(authority.public_bytes(Encoding.DER)).digest()


def _common(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([PROTOCOL])
