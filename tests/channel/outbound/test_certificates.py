"""Certificates of a population: who is taken for a member, and who is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from atoll.channel.identity import certificates as parties
from atoll.channel.outbound import certificates
from atoll.channel.outbound.codes import JoinCode, read_code
from atoll.core.errors import AtollError, PeerError

NOW = datetime(2027, 1, 1, tzinfo=UTC)
KEY, OTHER_KEY, LEAF_KEY = (certificates.new_key() for _ in range(3))
AUTHORITY = certificates.make_authority("phones", KEY, NOW)
OTHER = certificates.make_authority("phones", OTHER_KEY, NOW)


def leaf(name: str, *, server: bool = False, when: datetime = NOW) -> x509.Certificate:
    public = LEAF_KEY.public_key()
    return certificates.make_leaf(name, public, AUTHORITY, KEY, when, server=server)


def by(issuer: x509.Certificate, key: object, name: str) -> x509.Certificate:
    return certificates.make_leaf(name, LEAF_KEY.public_key(), issuer, key, NOW, server=False)  # type: ignore[arg-type]


def named(names: list[str], common: str) -> x509.Certificate:
    """A leaf with these dNSNames and a common name, good for a client of TLS."""
    public = LEAF_KEY.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]))
        .issuer_name(AUTHORITY.subject)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True
        )
    )
    if names:
        found = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(found, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def test_a_member_is_known_by_its_only_name() -> None:
    found = leaf("c-17.phones.atoll-clients.internal")
    assert certificates.judge_member(found, AUTHORITY, "phones", NOW) == 17
    assert certificates.member_name("phones", 17) == "c-17.phones.atoll-clients.internal"


def test_no_name_of_a_population_is_one_of_a_party() -> None:
    for party in ("phones", "c-1", "aggregator", "atoll-clients"):
        name = parties.dns_name(party)
        assert name != certificates.server_name("phones")
        assert not name.endswith(certificates.SUFFIX)
    assert not certificates.member_name("phones", 1).endswith(parties.SUFFIX)


PARTY_KEY = parties.new_key("p256")
PARTY_CA = parties.make_ca("acme", PARTY_KEY, NOW)
MEMBER = "c-1.phones.atoll-clients.internal"
WRONG: dict[str, Callable[[], x509.Certificate]] = {
    "another authority of the same name": lambda: by(OTHER, OTHER_KEY, MEMBER),
    "a party's authority": lambda: by(PARTY_CA, PARTY_KEY, MEMBER),
    "a party's node": lambda: parties.make_node(
        "acme",
        LEAF_KEY.public_key(),
        PARTY_CA,
        PARTY_KEY,
        NOW,
    ),
    "a common name alone": lambda: named([], MEMBER),
    "two names": lambda: named([MEMBER, "c-2.phones.atoll-clients.internal"], "x"),
    "another population": lambda: named(["c-1.tablets.atoll-clients.internal"], MEMBER),
    "a look-alike ending": lambda: named(["c-1.phones.atoll-clients.internal.example"], MEMBER),
    "a look-alike start": lambda: named(["c-1.phones.evil.atoll-clients.internal"], MEMBER),
    "a number with a zero ahead": lambda: named(["c-01.phones.atoll-clients.internal"], MEMBER),
    "upper case": lambda: named(["C-1.phones.atoll-clients.internal"], MEMBER),
    "the server": lambda: leaf(certificates.server_name("phones"), server=True),
    "a server's use under a member's name": lambda: leaf(MEMBER, server=True),
    "expired": lambda: leaf(MEMBER, when=NOW - timedelta(days=31)),
    "not yet valid": lambda: leaf(MEMBER, when=NOW + timedelta(hours=2)),
    "the authority itself": lambda: AUTHORITY,
}


@pytest.mark.parametrize("case", WRONG)
def test_who_is_no_member(case: str) -> None:
    with pytest.raises(PeerError) as caught:
        certificates.judge_member(WRONG[case](), AUTHORITY, "phones", NOW)
    assert caught.value.code == "ATL-POP-013"


def test_a_member_is_not_taken_for_the_server() -> None:
    server = leaf(certificates.server_name("phones"), server=True)
    certificates.judge_server(server, AUTHORITY, "phones", NOW)
    for wrong in (
        leaf(MEMBER),
        leaf(certificates.server_name("phones")),
        leaf(MEMBER, server=True),
    ):
        with pytest.raises(PeerError):
            certificates.judge_server(wrong, AUTHORITY, "phones", NOW)


def test_no_verifier_of_partners_takes_a_client() -> None:
    member = by(PARTY_CA, PARTY_KEY, MEMBER)
    for found in (leaf(MEMBER), member):
        with pytest.raises(PeerError):
            parties.check_chain("acme", [found], PARTY_CA, NOW)


def test_a_request_must_be_signed_by_its_own_key() -> None:
    request = certificates.make_request(LEAF_KEY)
    found = certificates.read_request(request)
    assert certificates.key_hash(found) == certificates.key_hash(LEAF_KEY.public_key())
    broken = request[:-1] + bytes([request[-1] ^ 1])
    for wrong in (broken, b"", request[:40], request * 200, _of_ed25519()):
        with pytest.raises(PeerError) as caught:
            certificates.read_request(wrong)
        assert caught.value.code == "ATL-POP-012"


def _of_ed25519() -> bytes:
    key = parties.new_key("ed25519")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, None)
    return made.public_bytes(Encoding.DER)


def test_signatures_are_for_one_purpose() -> None:
    document = b"d" * 32
    terms = certificates.sign_terms(KEY, document)
    certificates.verify_terms(AUTHORITY, document, terms)
    agreed = certificates.sign_agreement(LEAF_KEY, document, "code")
    public = LEAF_KEY.public_key()
    certificates.verify_agreement(public, document, "code", agreed)
    wrong: list[Callable[[], None]] = [
        lambda: certificates.verify_terms(OTHER, document, terms),
        lambda: certificates.verify_terms(AUTHORITY, document + b"x", terms),
        lambda: certificates.verify_agreement(public, document, "other", agreed),
        lambda: certificates.verify_agreement(KEY.public_key(), document, "", terms),
    ]
    for check in wrong:
        with pytest.raises(PeerError) as caught:
            check()
        assert caught.value.code == "ATL-POP-014"


def test_a_code_is_read_as_it_was_written_or_not_at_all() -> None:
    code = JoinCode("id", "phones", "host.example:7800", b"k" * 32, b"s" * 16)
    text = code.text()
    assert read_code(text[:30] + "\n " + text[30:]) == code
    for wrong in (text[:-2], text[1:], "atoll-invite-1." + text, "", text + "A" * 5000):
        with pytest.raises(AtollError) as caught:
            read_code(wrong)
        assert caught.value.code == "ATL-POP-015"
