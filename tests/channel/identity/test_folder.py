"""The party folder: made once, trusted by pin, judged by certificate."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from atoll.channel.identity import (
    Identity,
    Newest,
    certificates,
    export_ca,
    fingerprint,
    init_party,
    install_certificate,
    keep_current,
    load_party,
    renew,
    request_certificate,
    trust,
)
from atoll.channel.identity.certificates import Kind
from atoll.core.errors import AtollError

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def refused(code: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: error.code == code)


def pair(tmp_path: Path) -> tuple[Path, Path]:
    shop, bank = tmp_path / "shop", tmp_path / "bank"
    init_party(shop, "shop")
    init_party(bank, "bank", "ed25519")
    return shop, bank


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_new_party_has_one_name_and_signs(tmp_path: Path, kind: Kind) -> None:
    identity = init_party(tmp_path, "acme-bank", kind)
    leaf = certificates.read_chain(identity.certificate)[0]
    assert certificates.only_name(leaf) == "acme-bank.atoll.internal"
    public = identity.public_key("acme-bank", identity.certificate)
    assert public == identity.key.public_key()
    signature = identity.sign(b"document")
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, b"document", ec.ECDSA(hashes.SHA256()))
    else:
        public.verify(signature, b"document")


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_secret_follows_from_the_key_and_what_it_is_for(tmp_path: Path, kind: Kind) -> None:
    made = init_party(tmp_path / "one", "acme-bank", kind).secret("one thing")
    assert len(made) == 32
    loaded = load_party(tmp_path / "one")
    assert loaded.secret("one thing") == made != loaded.secret("another")
    assert init_party(tmp_path / "two", "acme-bank", kind).secret("one thing") != made


def test_private_keys_are_for_their_owner_and_never_shown(tmp_path: Path) -> None:
    identity = init_party(tmp_path, "shop")
    for path in tmp_path.iterdir():
        if b"PRIVATE" in path.read_bytes():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert "PRIVATE" not in repr(identity)
    (tmp_path / "node.pem").chmod(0o640)
    with refused("ATL-PTY-006"):
        load_party(tmp_path)


def test_a_party_is_never_overwritten(tmp_path: Path) -> None:
    first = init_party(tmp_path, "shop")
    with refused("ATL-PTY-001"):
        init_party(tmp_path, "shop")
    assert load_party(tmp_path).certificate == first.certificate


def test_an_interrupted_init_can_be_repeated(tmp_path: Path) -> None:
    init_party(tmp_path, "shop")
    (tmp_path / "party.json").unlink()
    with refused("ATL-PTY-002"):
        load_party(tmp_path)
    assert init_party(tmp_path, "shop").party == "shop"


@pytest.mark.parametrize("name", ["", "Acme", "a.b", "-a", "a" * 64])
def test_a_party_id_is_a_dns_label(tmp_path: Path, name: str) -> None:
    with refused("ATL-NAM-001"):
        init_party(tmp_path, name)
    assert not (tmp_path / "party.json").exists()


def test_trust_pins_one_authority_for_one_party(tmp_path: Path) -> None:
    shop, bank = pair(tmp_path)
    trust(shop, "bank", export_ca(bank), "bank.example:7600")
    trust(shop, "bank", export_ca(bank))
    pinned = load_party(shop).peer("bank")
    assert (pinned.ca, pinned.address) == (export_ca(bank), "bank.example:7600")
    with refused("ATL-PTY-003"):
        trust(shop, "mill", export_ca(bank))
    with refused("ATL-PTY-003"):
        trust(shop, "mill", export_ca(shop))
    with refused("ATL-PTY-003"):
        trust(shop, "shop", export_ca(bank))
    with refused("ATL-PTY-012"):
        load_party(shop).peer("mill")


def test_a_changed_authority_needs_to_be_said(tmp_path: Path) -> None:
    shop, bank = pair(tmp_path)
    other = init_party(tmp_path / "other", "bank").ca
    trust(shop, "bank", export_ca(bank))
    with refused("ATL-PTY-004"):
        trust(shop, "bank", other)
    assert load_party(shop).peer("bank").ca == export_ca(bank)
    trust(shop, "bank", other, replace=True)
    assert load_party(shop).peer("bank").ca == other


def test_only_an_authority_can_be_pinned(tmp_path: Path) -> None:
    shop, bank = pair(tmp_path)
    for wrong in (b"", b"text", load_party(bank).certificate, export_ca(bank) * 2):
        with refused("ATL-PTY-005"):
            trust(shop, "bank", wrong)


@pytest.mark.parametrize(
    "address", ["host", "host:", ":1", "host:0", "host:65536", "a b:1", "h:1/"]
)
def test_an_address_is_host_and_port(tmp_path: Path, address: str) -> None:
    shop, bank = pair(tmp_path)
    with refused("ATL-PTY-014"):
        trust(shop, "bank", export_ca(bank), address)


def test_a_peer_is_judged_by_its_pin(tmp_path: Path) -> None:
    shop, bank = pair(tmp_path)
    init_party(tmp_path / "mill", "mill")
    trust(shop, "bank", export_ca(bank))
    trust(shop, "mill", export_ca(tmp_path / "mill"))
    identity, theirs = load_party(shop), load_party(bank)
    assert identity.public_key("bank", theirs.certificate) == theirs.key.public_key()
    with refused("ATL-PTY-008"):
        identity.public_key("mill", theirs.certificate)
    posing = init_party(tmp_path / "posing", "bank")
    with refused("ATL-PTY-007"):
        identity.public_key("bank", posing.certificate)
    with refused("ATL-PTY-007"):
        identity.public_key("bank", b"no certificate")
    later, earlier = datetime.now(UTC) + timedelta(days=400), datetime.now(UTC) - timedelta(days=1)
    with refused("ATL-PTY-009"):
        identity.public_key("bank", theirs.certificate, now=later)
    with refused("ATL-PTY-010"):
        identity.public_key("bank", theirs.certificate, now=earlier)


def test_a_node_certificate_cannot_issue(tmp_path: Path) -> None:
    shop, bank = pair(tmp_path)
    trust(shop, "bank", export_ca(bank))
    theirs = load_party(bank)
    leaf = certificates.read_chain(theirs.certificate)[0]
    key = certificates.new_key("p256")
    forged = certificates.make_node("bank", key.public_key(), leaf, theirs.key, datetime.now(UTC))
    with refused("ATL-PTY-007"):
        load_party(shop).public_key("bank", certificates.pem(forged) + theirs.certificate)


def test_renewal_keeps_the_authority(tmp_path: Path) -> None:
    shop, bank = pair(tmp_path)
    trust(shop, "bank", export_ca(bank))
    before = load_party(bank)
    after = renew(bank)
    assert after.ca == before.ca
    assert after.certificate != before.certificate
    assert load_party(shop).public_key("bank", after.certificate) == after.key.public_key()


def test_a_company_authority_may_issue(tmp_path: Path) -> None:
    company_key = certificates.new_key("p256")
    company = certificates.make_ca("bank", company_key, datetime.now(UTC))
    text = request_certificate(tmp_path, "bank")
    request = x509.load_pem_x509_csr(text)
    public = request.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    chain = certificates.make_node("bank", public, company, company_key, datetime.now(UTC))
    other = certificates.make_node(
        "bank", company_key.public_key(), company, company_key, datetime.now(UTC)
    )
    authority = certificates.pem(company)
    with refused("ATL-PTY-011"):
        install_certificate(tmp_path, "bank", certificates.pem(other), authority)
    identity = install_certificate(tmp_path, "bank", certificates.pem(chain), authority)
    assert identity.ca == authority
    with refused("ATL-PTY-002"):
        renew(tmp_path)
    # What the company issues is the company's to renew.
    later = datetime.now(UTC) + timedelta(days=29)
    assert keep_current(tmp_path, now=later).certificate == identity.certificate


def test_a_certificate_is_renewed_in_time_for_the_same_key(tmp_path: Path) -> None:
    first = init_party(tmp_path, "shop", now=NOW)
    assert first.renews
    assert keep_current(tmp_path, now=NOW + timedelta(days=19)).certificate == first.certificate
    for later in (NOW + timedelta(days=21), NOW + timedelta(days=90)):
        before = load_party(tmp_path)
        after = keep_current(tmp_path, now=later)
        assert after.certificate != before.certificate
        assert after.key_pem() == first.key_pem()
        assert newest(before).issued < newest(after).issued
        assert not newest(after).ended(newest(before))
        after.check_current(now=later)


def test_nothing_is_renewed_beyond_the_authority(tmp_path: Path) -> None:
    init_party(tmp_path, "shop", now=NOW)
    late = NOW + certificates.CA_LIFE - timedelta(days=5)
    last = keep_current(tmp_path, now=late)
    assert keep_current(tmp_path, now=late + timedelta(days=1)).certificate == last.certificate
    over = keep_current(tmp_path, now=NOW + certificates.CA_LIFE + timedelta(days=1))
    assert over.certificate == last.certificate


def test_each_rotation_begins_after_the_one_before(tmp_path: Path) -> None:
    made = [init_party(tmp_path, "shop", now=NOW)]
    made += [renew(tmp_path, now=NOW) for _ in range(3)]
    begins = [newest(identity).issued for identity in made]
    assert begins == sorted(set(begins))
    assert all(newest(made[-1]).ended(newest(former)) for former in made[:-1])
    # A clock that was ahead: no partner took that certificate, so the next one begins now.
    renew(tmp_path, now=NOW + timedelta(days=300))
    assert newest(renew(tmp_path, now=NOW)).issued == begins[0]


def newest(identity: Identity) -> Newest:
    return Newest.of(certificates.read_chain(identity.certificate)[0])


def test_fingerprints_are_those_of_openssl(tmp_path: Path) -> None:
    init_party(tmp_path, "shop")
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", tmp_path / "ca.cert.pem"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    digits = fingerprint(export_ca(tmp_path)).replace(" ", "")
    assert shown.strip().split("=")[1].replace(":", "") == digits


def test_expiries_are_listed_next_first(tmp_path: Path) -> None:
    shop, bank = pair(tmp_path)
    trust(shop, "bank", export_ca(bank))
    found = load_party(shop).expiries()
    assert {(entry.what, entry.party) for entry in found} == {
        ("node", "shop"),
        ("authority", "shop"),
        ("peer", "bank"),
    }
    assert found[0].what == "node"
    assert 29 < found[0].days_left < 30


def test_an_old_certificate_is_noticed_before_it_is_used(tmp_path: Path) -> None:
    identity = init_party(tmp_path, "shop", now=NOW - timedelta(days=400))
    with refused("ATL-PTY-009"):
        identity.check_current(now=NOW)
    identity.check_current(now=NOW - timedelta(days=390))


@pytest.mark.parametrize("damage", ["", "{}", '{"version": 2, "party": "shop"}', "\x00"])
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: str) -> None:
    init_party(tmp_path, "shop")
    (tmp_path / "party.json").write_text(damage)
    with refused("ATL-PTY-002"):
        load_party(tmp_path)
