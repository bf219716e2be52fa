"""Values that are well formed on the wire and that a library, or the database, does not take."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec

from atoll.channel.identity import Identity, init_party, load_party
from atoll.channel.identity import certificates as made
from atoll.components.catalogue import CATALOGUE
from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.flow.control import Options, Update, view
from atoll.flow.control.facts import Declaration, Proposal, encode_section
from atoll.flow.control.reading import read_section
from atoll.flow.planning import component_facts
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import TableFacts
from atoll.sim.nodes import LocalNode
from tests.dishonest.test_enrolment import bring, denied, parties
from tests.dishonest.test_work import job_id, report, two
from tests.e2e.nodes import until

__all__ = ["two"]

NAMES = x509.ObjectIdentifier("2.5.29.17")
BASIC = x509.ObjectIdentifier("2.5.29.19")
USAGE = x509.ObjectIdentifier("2.5.29.15")
# An x400Address, which the library refuses by an error of no kind; and what is no DER at all.
X400 = bytes.fromhex("3004a3023000")
Odd = Callable[[x509.CertificateBuilder, str], x509.CertificateBuilder]


def named(builder: x509.CertificateBuilder, party: str) -> x509.CertificateBuilder:
    names = x509.SubjectAlternativeName([x509.DNSName(made.dns_name(party))])
    return builder.add_extension(names, critical=False)


def extended(oid: x509.ObjectIdentifier, data: bytes) -> Odd:
    def odd(builder: x509.CertificateBuilder, party: str) -> x509.CertificateBuilder:
        builder = builder if oid == NAMES else named(builder, party)
        return builder.add_extension(x509.UnrecognizedExtension(oid, data), critical=False)

    return odd


def keyed(key: Any) -> Odd:
    return lambda builder, party: named(builder.public_key(key.public_key()), party)


ODD: dict[str, Odd] = {
    "a name of another kind": extended(NAMES, X400),
    "names that are no DER": extended(NAMES, b"\xff\xff"),
    "constraints that are no DER": extended(BASIC, b"\xff"),
    "usage that is no DER": extended(USAGE, b"\x30\x00"),
    "a key of another curve": keyed(ec.generate_private_key(ec.BrainpoolP256R1())),
    "a key of another kind": keyed(dsa.generate_private_key(1024)),
}


def signed(folder: Path, party: str, odd: Odd) -> bytes:
    """Return a certificate of a party by its own authority, odd in one part."""
    authority = made.read_ca((folder / "ca.cert.pem").read_bytes())
    key = made.read_key((folder / "ca.key.pem").read_bytes())
    now = datetime.now(UTC)
    begun = (
        x509.CertificateBuilder()
        .subject_name(made.common_name("n"))
        .issuer_name(authority.subject)
        .serial_number(7)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=9))
    )
    whole = odd(begun, party)
    if whole._public_key is None:
        whole = whole.public_key(key.public_key())
    return made.pem(whole.sign(key, made._algorithm(key)))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Identity]:
    folder = tmp_path_factory.mktemp("odd")
    init_party(folder, "shop")
    return folder, load_party(folder)


@pytest.mark.parametrize("what", ODD)
def test_a_certificate_of_which_a_part_makes_no_sense(
    shop: tuple[Path, Identity], what: str
) -> None:
    """Lie: a party's own authority signs what it likes. Gain before: an error of no code, wherever
    it was read. Rule: ATL-PTY-007 or 008, as any other that is not the party's; ATL-PTY-005 for an
    authority.
    """
    folder, identity = shop
    odd = signed(folder, "shop", ODD[what])
    for kept in (False, True):
        with pytest.raises(AtollError, match=r"ATL-PTY-00[78]") as caught:
            identity.public_key("shop", odd, kept=kept)
        assert caught.value.party == "shop"
    with pytest.raises(AtollError, match="ATL-PTY-005"):
        made.read_ca(odd)
    with pytest.raises(AtollError, match="ATL-PTY-005"):
        made.fingerprint(odd)


def synthetic(**parameters: Any) -> Job:
    steps = {"s": {"component": "synthetic", "parameters": parameters}}
    return parse_job({"name": "odd", "parties": {"shop": "host", "bank": "guest"}, "steps": steps})


def proposed(job: Job) -> bytes:
    return encode_section(Proposal(job, bytes(32), Options()))


def test_a_job_whose_declared_certificate_makes_no_sense(two: dict[str, LocalNode]) -> None:
    """Gain before: the job hung in the bank's list, each second and after each start. Rule: it
    fails by the code of the certificate, and the shop is named.
    """
    job, bank = synthetic(), two["bank"]
    odd = signed(two["shop"].folder.root, "shop", ODD["a name of another kind"])
    facts = TableFacts(name="t", digest="0" * 64, rows=8, columns=("c",), id_rule="bytes")
    declaration = encode_section(Declaration({"s": facts}, component_facts(job, CATALOGUE), odd))
    sections = {"run": b"\x01", "proposal": proposed(job), "declaration": declaration}
    assert report(two, Update(job_id(0), 0, 1, sections))[job_id(0)] == 1
    stop = until(lambda: bank.control.see(lambda control: control.records[job_id(0)].own.stop))
    assert (stop.code, stop.party) == ("ATL-PTY-008", "shop")
    record = bank.control.peek(job_id(0))
    assert record is not None
    assert view(record).code == "ATL-PTY-008"


def endless(value: float, where: str) -> bytes:
    """Return a proposal with a number in it that is not finite."""
    plain = codec.decode(proposed(synthetic()))
    step = plain["job"]["steps"]["s"]
    if where == "overrides":
        step["overrides"] = {"bank": {"rows": [value]}}
    elif where == "parameters":
        step["parameters"] = {"rows": {"most": [1, value]}}
    else:
        plain["options"][where] = value
    return codec.encode(plain)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["parameters", "overrides", "peer_seconds"])
def test_numbers_that_are_not_finite(value: float, where: str) -> None:
    """Rule: no such number is read from a partner, nor from a job that is submitted here."""
    with pytest.raises(AtollError, match="ATL-FLW-001"):
        read_section("proposal", endless(value, where))
    with pytest.raises(AtollError, match="ATL-JOB-003"):
        synthetic(rows=value)


def test_a_number_that_no_database_takes_among_other_jobs(
    two: dict[str, LocalNode], caplog: pytest.LogCaptureFixture
) -> None:
    """Gain before: the transaction of all jobs of the round failed, and each was done again by
    itself. Rule: ATL-FLW-001 when it is read; nothing of it comes to the database.
    """
    bad = Update(job_id(0), 0, 1, {"run": b"\x01", "proposal": endless(math.nan, "parameters")})
    good = Update(job_id(1), 0, 1, {"run": b"\x01", "proposal": proposed(synthetic())})
    held = report(two, bad, good)
    assert held.get(job_id(0), 0) == 0
    assert held[job_id(1)] == 1
    assert two["bank"].control.peek(job_id(0)) is None
    assert not [line for line in caplog.records if line.exc_info]
    assert any("ATL-FLW-001" in line.getMessage() for line in caplog.records)


def test_each_refused_enrolment_is_in_the_audit_log(tmp_path: Path) -> None:
    """Lie: a code is brought with an authority that makes no sense, or as another message. Gain
    before: ATL-INT-001, and no line. Rule: ATL-PTY-005, ATL-NOD-014; each has its line.
    """
    with parties(tmp_path, "bank", "shop") as (bank, shop):
        code = bank.invite("shop")
        odd = signed(shop.folder, "shop", ODD["a name of another kind"])
        with denied("ATL-PTY-005"):
            bring(bank, code, authority=odd, address="")
        with denied("ATL-NOD-014"):
            bring(bank, code, authority=shop.identity.ca)
        lines = [line for line in bank.audit.page().rows if line["outcome"] == "refused"]
        found = [(one["action"], one["target"], one["detail"]["code"]) for one in lines]
        assert found == [
            ("invitation.use", code.id, "ATL-PTY-005"),
            ("invitation.use", "", "ATL-NOD-014"),
        ]
        # The code is still good for the party that it names.
        bring(bank, code, authority=shop.identity.ca, address="")
