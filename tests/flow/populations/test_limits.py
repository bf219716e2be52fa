"""What a member, an address and all of them may ask: on a clock that the tests move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from atoll.channel.identity.certificates import present
from atoll.channel.outbound import certificates
from atoll.core.clock import ManualClock
from atoll.core.errors import AtollError
from atoll.core.random import SecretRandom
from atoll.flow.populations import limits
from atoll.flow.populations.folder import Population
from atoll.flow.populations.limits import Buckets, LimitRules, Limits
from atoll.flow.populations.service import Caller, PopulationService
from atoll.learning.horizontal.conditions import Condition
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.clients import OutboundClients
from atoll.learning.horizontal.population.coordinator import Coordinator
from atoll.learning.horizontal.population.work import PopulationWork
from atoll.learning.horizontal.rounds import LATE
from tests.flow.populations.helpers import RULES, population

RATES = LimitRules(requests=20, requests_a_second=1, useless=3, useless_an_hour=6)


@dataclass
class World:
    """A service without sockets, its clock, and members that enrolled."""

    of: Population
    service: PopulationService
    clients: OutboundClients
    coordinator: Coordinator
    clock: ManualClock
    leaves: list[bytes]

    def pass_by(self, seconds: float) -> None:
        self.clock.advance_to(self.clock.now() + seconds)

    def ask(self, number: int, what: str, body: bytes, length: int | None = None) -> bytes:
        size = len(body) if length is None else length
        caller = self.service.admit(what, self.leaves[number], "192.0.2.7", size)
        return self.service.answer(what, caller, body)

    def check_in(self, number: int) -> messages.Stay | messages.Task:
        ask = messages.CheckIn.of(self.of.terms.digest, Condition(), frozenset())
        answer = self.ask(number, "check-in", ask.encode())
        try:
            return messages.Task.decode(answer)
        except AtollError:
            return messages.Stay.decode(answer)

    def join(self, address: str = "192.0.2.7", wrong: bool = False) -> str:
        """Enrol with a code; return the code of the refusal, empty if it was done."""
        code = self.of.invite("x:1")[0][0]
        key, digest = certificates.new_key(), self.of.terms.digest
        agreed = certificates.sign_agreement(key, digest, code.id)
        request = certificates.make_request(key)
        secret = bytes(16) if wrong else code.secret
        body = messages.Enrol(code.id, secret, digest, request, agreed).encode()
        try:
            caller = self.service.admit("enrol", None, address, len(body))
            made = messages.Certified.decode(self.service.answer("enrol", caller, body))
        except AtollError as error:
            return error.code
        self.leaves.append(made.certificate)
        return ""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    of = population(tmp_path / "p")
    clock, work = ManualClock(), PopulationWork(of.terms)
    coordinator = Coordinator(
        RULES.model_copy(update={"pace": RULES.pace.model_copy(update={"least": 4.0})}),
        of.terms.eligibility,
        SecretRandom(),
    )
    clients = OutboundClients(work, coordinator, clock, 8)
    with closing(of.store()) as store:
        service = PopulationService(of, store, clients, limits=RATES, clock=clock)
        made = World(of, service, clients, coordinator, clock, [])
        assert [made.join() for _ in range(2)] == ["", ""]
        yield made


def refused(act: object) -> str:
    with pytest.raises(AtollError) as caught:
        act()  # type: ignore[operator]
    return caught.value.code


def test_a_bucket_refills_by_time_and_is_no_ones_but_its_own() -> None:
    made = Buckets(burst=2, refill=0.5, most=2)
    assert [made.take("a", 1, 0.0) for _ in range(3)] == [True, True, False]
    assert made.take("b", 2, 0.0)
    assert not made.take("a", 1, 1.9)
    assert made.take("a", 1, 2.0)
    # The third key and the fourth share one.
    assert made.take("c", 2, 2.0)
    assert not made.take("d", 1, 2.0)
    made.prune(100.0)
    assert made.left("d", 100.0) == 2
    assert [made.take("d", 2, 100.0), made.take("c", 2, 100.0)] == [True, True]


def test_who_asks_too_often_is_slowed_then_refused_and_no_one_else(world: World) -> None:
    first = world.check_in(0)
    assert isinstance(first, messages.Stay)
    last = first
    for _ in range(19):
        answer = world.check_in(0)
        assert isinstance(answer, messages.Stay)
        last = answer
    # A pace of 4 seconds with a quarter of jitter; four times that once half is used.
    assert first.milliseconds <= 5000
    assert last.milliseconds >= 12000
    assert refused(lambda: world.check_in(0)) == limits.ASKS_TOO_OFTEN
    assert isinstance(world.check_in(1), messages.Stay)
    world.pass_by(1.0)
    assert isinstance(world.check_in(0), messages.Stay)
    # Who is refused may leave all the same.
    assert refused(lambda: world.check_in(0)) == limits.ASKS_TOO_OFTEN
    world.ask(0, "leave", messages.Leave(world.of.terms.digest).encode())
    assert refused(lambda: world.check_in(0)) == "ATL-POP-004"


def test_who_is_sent_away_for_longer_is_not_drawn_meanwhile(world: World) -> None:
    for _ in range(20):
        world.check_in(0)
    world.check_in(1)
    assert world.coordinator.rules.fetch == 5
    assert world.clients.eligible(np.array([0, 1])).tolist() == [False, True]


def test_answers_that_do_not_count_end_in_a_refusal_that_time_and_good_ones_undo(
    world: World,
) -> None:
    waits = []
    for round_ in range(3):
        world.coordinator.begin(round_, np.array([0, 1]), world.clock.now())
        task = world.check_in(0)
        assert isinstance(task, messages.Task)
        world.ask(0, "failed", messages.Failed(task.token, "ATL-HOR-011").encode())
        if round_ < 2:
            answer = world.check_in(0)
            assert isinstance(answer, messages.Stay)
            waits.append(answer.milliseconds)
        world.coordinator.close(world.clock.now())
    assert waits[1] > waits[0] > 5000
    assert refused(lambda: world.check_in(0)) == limits.DOES_NOT_COUNT
    assert isinstance(world.check_in(1), messages.Stay)
    world.pass_by(600.0)
    assert isinstance(world.check_in(0), messages.Stay)


def test_a_late_answer_is_no_fault_and_a_good_one_makes_up_for_one_that_was() -> None:
    made = Limits(RATES, 4.0, 100, 8)
    for _ in range(100):
        made.answered(0, "finish", LATE, 0.0)
    assert made.slowed(0, 0.0) == 1
    for _ in range(3):
        made.answered(0, "piece", "ATL-POP-003", 0.0)
    assert refused(lambda: made.admit(0, "check-in", 0, 0.0)) == limits.DOES_NOT_COUNT
    made.answered(0, "finish", "", 0.0)
    made.admit(0, "check-in", 0, 0.0)


def test_bytes_beyond_those_of_tasks_are_refused_unread() -> None:
    task, piece = 32 << 20, 4 << 20
    made = Limits(RATES, 4.0, task, 8)

    def pieces(number: int) -> int:
        for sent in range(1000):
            try:
                made.admit(number, "piece", piece, 0.0)
            except AtollError:
                return sent
        raise AssertionError

    spare = 8 << 20
    assert pieces(0) == (3 * task + spare) // piece
    for _ in range(2):
        # The same task asked for again allows nothing more.
        made.tasked(0, b"t" * 16, 0.0)
    assert pieces(0) == 3 * task // piece
    made.unread(0, piece, 0.0)
    assert pieces(0) == 1
    code = refused(lambda: made.admit(0, "piece", piece, 0.0))
    assert code == limits.SENDS_TOO_MUCH
    made.admit(1, "fetch", piece, 0.0)


def test_wrong_codes_are_bounded_by_address_and_members_are_not_concerned(world: World) -> None:
    assert [world.join(wrong=True) for _ in range(10)] == ["ATL-POP-019"] * 10
    assert world.join() == limits.TRIES_TOO_OFTEN
    assert world.join("198.51.100.1") == ""
    assert isinstance(world.check_in(0), messages.Stay)
    world.pass_by(60.0)
    assert world.join() == ""


def test_wrong_codes_are_bounded_over_all_addresses() -> None:
    made = Limits(LimitRules(all_attempts=50), 4.0, 100, 8)
    for at in range(50):
        made.admit_stranger(f"192.0.2.{at}", 0.0)
        made.failed_attempt(f"192.0.2.{at}", 0.0)
    assert refused(lambda: made.admit_stranger("198.51.100.1", 0.0)) == limits.TRIES_TOO_OFTEN
    made.admit_stranger("198.51.100.1", 1.0)


def test_a_line_of_ipv6_is_one_address() -> None:
    made = Limits(RATES, 4.0, 100, 8)
    for at in range(10):
        made.failed_attempt(f"2001:db8::{at:x}", 0.0)
    assert refused(lambda: made.admit_stranger("2001:db8::ffff", 0.0)) == limits.TRIES_TOO_OFTEN
    made.admit_stranger("2001:db8:0:1::1", 0.0)


def test_a_body_is_no_longer_than_a_piece_of_the_model(world: World) -> None:
    size = PopulationWork(world.of.terms).form.size
    assert world.service.most_bytes("piece") == 4 * size + messages.PIECE_OVERHEAD
    assert world.service.most_bytes("nothing") == 0


def test_refusals_reach_the_log_together(world: World) -> None:
    assert [world.join(wrong=True) for _ in range(10)] == ["ATL-POP-019"] * 10
    world.join()
    world.service.too_long(Caller("198.51.100.1"))
    with closing(world.of.store()) as store:
        assert store.lines(100, what="refused") == []
        world.pass_by(61.0)
        world.service.refresh()
        found = [(x.who, x.detail, x.times) for x in store.lines(100, what="refused")]
    assert sorted(found) == [
        ("192.0.2.7", "ATL-POP-019", 10),
        ("192.0.2.7", "ATL-POP-035", 1),
        ("198.51.100.1", "ATL-POP-033", 1),
    ]


def test_certificates_are_renewed_seldom(world: World) -> None:
    der = certificates.make_request(certificates.new_key())
    body = messages.Renew(der).encode()
    for _ in range(2):
        assert refused(lambda: world.ask(0, "renew", body)) == "ATL-POP-013"
    assert refused(lambda: world.ask(0, "renew", body)) == limits.ASKS_TOO_OFTEN


def test_an_unknown_certificate_is_logged_by_its_address(world: World) -> None:
    leaf = world.of.issue_member(99, certificates.new_key().public_key(), present())
    der = leaf.public_bytes(Encoding.DER)
    code = refused(lambda: world.service.admit("check-in", der, "203.0.113.9", 0))
    assert code == "ATL-POP-004"
    world.service.close()
    with closing(world.of.store()) as store:
        found = [(x.who, x.detail) for x in store.lines(100, what="refused")]
    assert found == [("203.0.113.9", "ATL-POP-004")]
