"""A population over real TLS: enrolment, rounds, revocation, and what is refused on the wire."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from atoll.channel.identity.certificates import key_pem, pem, present
from atoll.channel.outbound import certificates, tls
from atoll.channel.outbound.codes import JoinCode
from atoll.channel.outbound.dialer import Dialer
from atoll.cli.client.folder import CERTIFICATE, KEY, ClientFolder
from atoll.cli.client.session import Enrolment, MemberSession, ask
from atoll.core.errors import AtollError, NetworkError
from atoll.flow.populations import folder as folders
from atoll.flow.populations.folder import MODEL, Population
from atoll.flow.populations.limits import LimitRules
from atoll.learning.horizontal.conditions import Condition
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.attendance import RoundRules
from atoll.learning.horizontal.rounds import Closing
from atoll.models.network.part import decode
from tests.flow.populations.helpers import RULES, Clients, Serving, enrolled, population, serving

CHECK_IN = messages.CheckIn.of(b"0" * 32, Condition(), frozenset())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A population that waits for more members than will come, so that no round begins."""
    made = population(tmp_path_factory.mktemp("population") / "p", {"minimum_clients": 50})
    limits = LimitRules(attempts=10_000)
    with serving(made, count=50, limits=limits) as found:
        yield found


def refused(act: object) -> str:
    with pytest.raises(AtollError) as caught:
        act()  # type: ignore[operator]
    return caught.value.code


def test_members_train_and_the_model_is_written(tmp_path: Path) -> None:
    made = population(tmp_path / "p", {"minimum_clients": 2})
    with serving(made) as found:
        joined = [enrolled(tmp_path / f"c{n}", found.code()) for n in range(3)]
        with Clients(joined):
            result = found.wait()
    assert result.finished
    assert result.figures.answered == 6
    assert result.figures.failed == 0
    part = decode((made.root / MODEL).read_bytes())
    assert np.array_equal(part.weights, result.part.weights)
    # The planted weights are 1, -2 and 0.5.
    assert part.weights[1] < -0.2 < 0.1 < part.weights[0]
    assert sum(folder.book().counts().tasks for folder in joined) == 6


def test_a_stopped_training_goes_on_where_it_was(tmp_path: Path) -> None:
    made = population(tmp_path / "p", {"rounds": 4})
    first = Serving(made, stop_at="round 2/").start()
    joined = [enrolled(tmp_path / f"c{n}", first.code()) for n in range(2)]
    port = first.port
    with Clients(joined):
        before = first.wait()
        assert (before.rounds, before.finished) == (2, False)
        second = Serving(folders.load(made.root), port=port).start()
        after = second.wait()
    assert any(f"resumes after round {before.rounds}" in line for line in second.lines)
    assert after.finished
    assert after.figures.rounds == 4 - before.rounds


def test_who_is_removed_is_refused_at_once_and_no_round_waits_for_it(tmp_path: Path) -> None:
    made = population(tmp_path / "p", {"rounds": 2})
    with serving(made, count=2, rules=_patient()) as found:
        joined = [enrolled(tmp_path / f"c{n}", found.code()) for n in range(3)]
        session = MemberSession(joined[0])
        digest = made.terms.digest
        mine = messages.CheckIn.of(digest, Condition(), frozenset())
        session("check-in", mine, messages.Stay)
        store = made.store()
        store.end(0, "removed")
        store.close()
        code = refused(lambda: session("check-in", mine, messages.Stay, messages.Task))
        assert code == "ATL-POP-004"
        with Clients(joined[1:]):
            # A round that waited for it would last longer than this wait.
            assert found.wait().finished
        session.close()


def _patient() -> RoundRules:
    return RULES.model_copy(update={"closing": Closing(limit=600), "fetch": 500})


def test_a_code_works_for_one_key(served: Serving, tmp_path: Path) -> None:
    code = served.code()
    one = enrolled(tmp_path / "one", code)
    # The answer may have been lost: the same key asks again and is the same member.
    number = one.joined.number
    dialer = _dialer(served, code)
    request = certificates.make_request(one.key())
    digest = served.population.terms.digest
    agreed = certificates.sign_agreement(one.key(), digest, code.id)
    question = messages.Enrol(code.id, code.secret, digest, request, agreed)
    assert ask(dialer, "enrol", question, messages.Certified).number == number
    assert refused(lambda: enrolled(tmp_path / "two", code)) == "ATL-POP-019"
    key = certificates.new_key()
    agreed = certificates.sign_agreement(key, digest, code.id)
    request = certificates.make_request(key)
    stolen = messages.Enrol(code.id, code.secret, digest, request, agreed)
    assert refused(lambda: ask(dialer, "enrol", stolen, messages.Certified)) == "ATL-POP-019"
    session = MemberSession(one)
    session.leave()
    session.close()
    assert refused(lambda: ask(dialer, "enrol", question, messages.Certified)) == "ATL-POP-019"
    dialer.close()


def _dialer(served: Serving, code: JoinCode) -> Dialer:
    def check(connection: ssl.SSLSocket) -> None:
        tls.check_key(connection, code.key, code.population)

    name = certificates.server_name(code.population)
    return Dialer(f"127.0.0.1:{served.port}", name, tls.enrolment_context(), check, seconds=10)


@pytest.mark.parametrize("what", ["secret", "id", "expired", "digest", "agreement"])
def test_an_enrolment_that_does_not_count(served: Serving, tmp_path: Path, what: str) -> None:
    code = served.code(hours=-1.0 if what == "expired" else 1.0)
    key, digest = certificates.new_key(), served.population.terms.digest
    number, secret = code.id, code.secret
    agreed = certificates.sign_agreement(key, digest, number)
    if what == "secret":
        secret = bytes(16)
    if what == "id":
        number = "0" * 16
        agreed = certificates.sign_agreement(key, digest, number)
    if what == "digest":
        digest = bytes(32)
    if what == "agreement":
        agreed = certificates.sign_agreement(certificates.new_key(), digest, number)
    request = certificates.make_request(key)
    question = messages.Enrol(number, secret, digest, request, agreed)
    dialer = _dialer(served, code)
    found = refused(lambda: ask(dialer, "enrol", question, messages.Certified))
    expected = {"digest": "ATL-POP-023", "agreement": "ATL-POP-014"}.get(what, "ATL-POP-019")
    assert found == expected
    dialer.close()


def test_nothing_is_sent_to_a_server_with_another_key(tmp_path: Path) -> None:
    """Someone in between presents a certificate of an authority of its own."""
    key = certificates.new_key()
    authority = certificates.make_authority("phones", key, present())
    name = certificates.server_name("phones")
    leaf = certificates.make_leaf(name, key.public_key(), authority, key, present(), server=True)
    (tmp_path / "leaf.pem").write_bytes(pem(leaf))
    (tmp_path / "key.pem").write_bytes(key_pem(key))
    context = tls.server_context(
        tmp_path / "leaf.pem", tmp_path / "key.pem", pem(authority).decode()
    )
    listener = socket.create_server(("127.0.0.1", 0))
    received: list[bytes] = []

    def accept() -> None:
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True) as secured:
            secured.settimeout(10)
            try:
                received.append(secured.recv(1))
            except OSError:
                received.append(b"")

    thread = threading.Thread(target=accept)
    thread.start()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    code = JoinCode("id", "phones", address, b"k" * 32, b"s" * 16)
    enrolment = Enrolment(ClientFolder(tmp_path / "c"), code)
    assert refused(enrolment.terms) == "ATL-POP-016"
    enrolment.close()
    thread.join(20)
    listener.close()
    assert received == [b""]


def test_a_member_speaks_with_its_own_population_alone(served: Serving, tmp_path: Path) -> None:
    other = population(tmp_path / "other", population="tablets")
    with serving(other) as wrong:
        joined = enrolled(tmp_path / "c", wrong.code())
        # As if the address had been taken over by another population's server.
        joined.root.joinpath("client.json").write_text(
            joined.joined.model_copy(
                update={"address": f"127.0.0.1:{served.port}"}
            ).model_dump_json()
        )
        session = MemberSession(joined)
        with pytest.raises(NetworkError) as caught:
            session("check-in", CHECK_IN, messages.Stay)
        assert "certificate" in str(caught.value)
        session.close()


def _raw(served: Serving, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    return context.wrap_socket(plain, server_hostname=certificates.server_name("phones"))


def _loose(root: Path | None = None) -> ssl.SSLContext:
    context = tls.enrolment_context()
    if root is not None:
        context.load_cert_chain(root / CERTIFICATE, root / KEY)
    return context


def _answer(secured: ssl.SSLSocket, what: str, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"POST /population/v1/{what} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    secured.sendall(head.encode() + body)
    response = http.client.HTTPResponse(secured)
    try:
        response.begin()
        return b"%d " % response.status + response.read()
    finally:
        response.close()


def test_members_of_others_are_not_let_in(served: Serving, tmp_path: Path) -> None:
    """Certificates by another authority end the handshake; none at all ends the request."""
    other = population(tmp_path / "other")
    key = certificates.new_key()
    leaf = other.issue_member(0, key.public_key(), present())
    (tmp_path / CERTIFICATE).write_bytes(pem(leaf))
    (tmp_path / KEY).write_bytes(key_pem(key))
    ended = pytest.raises(OSError, match=r"alert|closed|reset")
    with _raw(served, _loose(tmp_path)) as secured, ended:
        _answer(secured, "check-in", CHECK_IN.encode())
    with _raw(served, _loose()) as secured:
        assert b"ATL-POP-013" in _answer(secured, "check-in", CHECK_IN.encode())


def test_a_member_that_was_never_entered_is_none(served: Serving, tmp_path: Path) -> None:
    """The authority's key made it, but the table does not know it: a number and key of its own."""
    key = certificates.new_key()
    leaf = served.population.issue_member(9999, key.public_key(), present())
    (tmp_path / CERTIFICATE).write_bytes(pem(leaf))
    (tmp_path / KEY).write_bytes(key_pem(key))
    with _raw(served, _loose(tmp_path)) as secured:
        assert b"ATL-POP-004" in _answer(secured, "check-in", CHECK_IN.encode())
    member = enrolled(tmp_path / "m", served.code())
    taken = served.population.issue_member(member.joined.number, key.public_key(), present())
    (tmp_path / CERTIFICATE).write_bytes(pem(taken))
    with _raw(served, _loose(tmp_path)) as secured:
        assert b"ATL-POP-013" in _answer(secured, "check-in", CHECK_IN.encode())


def test_older_tls_and_resumption_are_refused(served: Serving) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        _raw(served, old)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _raw(served, context) as secured:
        assert secured.version() == "TLSv1.3"
        _answer(secured, "terms", b"x")
        # A ticket would have come by now.
        session = secured.session
        assert session is None or not session.has_ticket


@pytest.mark.parametrize(
    ("what", "length", "status"),
    [("terms", 1 << 20, b"413 "), ("nothing", 4, b"404 "), ("piece", 1 << 40, b"ATL-POP-013")],
)
def test_bodies_have_bounds(served: Serving, what: str, length: int, status: bytes) -> None:
    with _raw(served, _loose()) as secured:
        # In one record: the answer may come, and the connection end, before all is read.
        body = b"x" * min(length, 1 << 10)
        assert status in _answer(secured, what, body, length)


def test_a_body_without_a_length_is_not_read(served: Serving) -> None:
    with _raw(served, _loose()) as secured:
        head = (
            b"POST /population/v1/terms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        secured.sendall(head)
        with http.client.HTTPResponse(secured) as response:
            response.begin()
            assert response.status == 411


def test_what_is_malformed_is_refused_by_a_code(served: Serving) -> None:
    for body in (b"", b"\xff" * 100, messages.Receipt("").encode()):
        with _raw(served, _loose()) as secured:
            assert b"ATL-COD-00" in _answer(secured, "terms", body)


def test_a_certificate_is_renewed_for_the_same_key_alone(
    served: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = enrolled(tmp_path / "c", served.code())
    before = joined.certificate()
    session = MemberSession(joined)
    session.renew()
    assert joined.certificate() == before
    monkeypatch.setattr(certificates, "RENEW_LEFT", timedelta(days=31))
    session.renew()
    after = joined.certificate()
    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()
    other = messages.Renew(certificates.make_request(certificates.new_key()))
    assert refused(lambda: session("renew", other, messages.Certified)) == "ATL-POP-013"
    session.close()


def test_who_left_is_gone(served: Serving, tmp_path: Path) -> None:
    joined = enrolled(tmp_path / "c", served.code())
    session = MemberSession(joined)
    session.leave()
    assert refused(session.leave) == "ATL-POP-004"
    session.close()
    store = served.population.store()
    found = store.member(joined.joined.number)
    store.close()
    assert found.reason == "left"


def test_a_folder_is_served_once(served: Serving) -> None:
    second = Serving(folders.load(served.population.root))
    assert refused(second.running.run) == "ATL-STO-007"


def test_signed_terms_cannot_be_exchanged(tmp_path: Path) -> None:
    made: Population = population(tmp_path / "p")
    assert refused(lambda: population(tmp_path / "p")) == "ATL-POP-021"
    coarse = {"algorithm": "fedavg", "weighting": "equal", "clip": 1e8}
    assert refused(lambda: population(tmp_path / "q", coarse, noise=1.0)) == "ATL-HOR-072"
    assert not (tmp_path / "q").exists()
    more = made.terms.model_copy(update={"tasks_per_day": 1000})
    (made.root / folders.TERMS).write_bytes(more.document())
    assert refused(lambda: folders.load(made.root)) == "ATL-POP-014"
