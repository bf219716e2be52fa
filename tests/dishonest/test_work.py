"""Partners that make a node keep, read and compute for them without an approval."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from atoll.channel.grpc.gateway import Call
from atoll.channel.identity import Identity
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.flow.control import (
    Declared,
    JobRecord,
    Options,
    SyncMessage,
    Update,
    encode_sync,
    parse_sync,
)
from atoll.flow.control.facts import (
    Declaration,
    End,
    Proposal,
    encode_section,
)
from atoll.flow.control.reading import read_section
from atoll.flow.node.data.tables import RegisteredTables, TableSource
from atoll.flow.node.jobs.declaring import Declarer
from atoll.flow.node.jobs.partner_load import LEAST_BYTES, Allowance, LoadLimits, PartnerLoad
from atoll.flow.node.jobs.waiting_calls import CALLS, WaitingCalls
from atoll.flow.store import Jobs, Retention, prune
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import ComponentFacts, TableFacts
from atoll.sim.nodes import LocalNode, nodes
from tests.channel.grpc.world import LONG

KIB = 1 << 10
SIZE = 100 * KIB


CODE = ComponentFacts(version="1", code="2" * 64)


def heavy(size: int = SIZE) -> Job:
    """Return a job that no node can take part in, of so many bytes."""
    step = {"component": "reader", "parameters": {"none": "x" * size}}
    parties = {"shop": "guest", "bank": "host"}
    return parse_job({"name": "heavy", "parties": parties, "steps": {"read": step}})


def proposal(size: int = SIZE) -> bytes:
    return encode_section(Proposal(heavy(size), bytes(32), Options(peer_seconds=3600.0)))


ENDED: Any = {"end": encode_section(End("cancelled", "ATL-FLW-007"))}


def job_id(number: int) -> str:
    return f"20300102030405-{number:08x}"


def report(two: dict[str, LocalNode], *updates: Update, **held: int) -> dict[str, int]:
    """Send the bank facts (and what is held) as the shop's node, and return what the bank holds."""
    known = {job.replace("_", "-").removeprefix("j"): version for job, version in held.items()}
    body = encode_sync(SyncMessage(updates, known))
    answer = two["shop"].gateway.call("bank", "sync", body, LONG)
    return dict(parse_sync(answer).held)


def send(two: dict[str, LocalNode], number: int, version: int = 1, **sections: bytes) -> int:
    """Send facts of one job and return how much of it the bank holds afterwards."""
    job = job_id(number)
    return report(two, Update(job, version - 1, version, sections))[job]


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, LocalNode]]:
    with nodes(tmp_path, ("bank", "shop")) as made:
        # The liar speaks for the shop, and the bank answers and sends nothing by itself.
        made["shop"].syncing.close()
        syncing = made["bank"].syncing
        lines, follow = list(syncing._lines.values()), syncing.follow
        monkeypatch.setattr(syncing, "follow", lambda identity: None)
        follow(cast(Any, SimpleNamespace(peers={})))
        for line in lines:
            line.thread.join(LONG)
        yield made


def limit(node: LocalNode, **limits: int) -> None:
    load = PartnerLoad(LoadLimits(**limits))
    node.control.see(lambda control: setattr(control, "_load", load))


def test_proposals_that_bring_their_own_end(two: dict[str, LocalNode]) -> None:
    """Four hundred took a GiB of memory and of disk. Rule: nothing of them is kept."""
    bank = two["bank"]
    for number in range(5):
        assert send(two, number, proposal=proposal(), **ENDED) == 1
    assert not bank.control.records
    assert not Jobs(bank.database).list().rows
    # It is known once it begins again: an honest initiator's retry.
    job = job_id(0)
    run = {"run": b"\x02", "proposal": proposal()}
    assert send(two, 0, 2, run=b"\x02") == 0
    assert report(two, Update(job, 0, 2, run))[job] == 2
    assert bank.control.peek(job) is not None


def test_proposals_that_are_large(two: dict[str, LocalNode]) -> None:
    """Rule: so many bytes of one partner's jobs are at hand, ATL-FLW-016, ended ones go first."""
    bank = two["bank"]
    limit(bank, at_hand=5 * SIZE)
    held = [send(two, number, proposal=proposal()) for number in range(4)]
    assert held == [1, 1, 0, 0]
    assert set(bank.control.records) == {job_id(0), job_id(1)}
    grown = encode_section(Declaration({}, {"a" * 150_000: CODE}, b"x"))
    assert send(two, 0, 2, declaration=grown, **ENDED) == 1
    assert send(two, 0, 2, **ENDED) == 2
    assert bank.services.jobs.get(job_id(0))["state"] in ("cancelled", "refused")
    assert send(two, 2, proposal=proposal()) == 1
    assert job_id(0) not in bank.control.records
    assert {row.id for row in Jobs(bank.database).list().rows} == {job_id(n) for n in range(3)}


def wide(columns: int, tables: int = 1) -> bytes:
    """Return a declaration of tables with very short names of columns."""
    names = tuple(f"{at:x}" for at in range(columns))
    facts = TableFacts(name="t", digest="0" * 64, rows=1, columns=names, id_rule="x")
    return encode_section(Declaration({f"s{at}": facts for at in range(tables)}, {}, b"x"))


def test_documents_that_come_with_an_end(two: dict[str, LocalNode]) -> None:
    """240 MiB were taken in where 64 a day were set. Rule: an end is free, not what comes with it.

    Ends have an eighth of the limits for themselves, ATL-FLW-016.
    """
    bank = two["bank"]
    jobs = range(8)
    limit(bank, per_day=8 * 3 * SIZE)
    assert [send(two, number, proposal=proposal(10)) for number in jobs] == [1] * len(jobs)
    large = encode_section(Declaration({}, {"a" * SIZE: CODE}, b"x"))
    held = [send(two, number, 2, declaration=large, **ENDED) for number in jobs]
    assert held == [2] * 2 + [1] * 6
    assert [send(two, number, 2, **ENDED) for number in jobs] == [2] * len(jobs)
    assert all(record.end is not None for record in bank.control.records.values())


def test_ends_of_others_jobs_make_no_room_for_documents(two: dict[str, LocalNode]) -> None:
    """As above for what is at hand: an end has an eighth more, then it comes alone."""
    bank = two["bank"]
    limit(bank, at_hand=5 * SIZE)
    assert [send(two, number, proposal=proposal()) for number in range(3)] == [1, 1, 0]
    large = encode_section(Declaration({}, {"a" * SIZE: CODE}, b"x"))
    assert send(two, 0, 2, declaration=large, **ENDED) == 1
    assert send(two, 0, 2, **ENDED) == 2


def test_own_declarations_that_a_partner_causes(
    two: dict[str, LocalNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 448 KiB of proposals came 149 MiB. Rule: they count as their initiator's, ATL-FLW-016."""
    bank = two["bank"]
    monkeypatch.setattr(bank.effects, "_answer", lambda record, command: None)
    own = cast(Declaration, read_section("declaration", wide(1000)))

    def declare(number: int) -> str | None:
        """Have the bank declare, and return with which code it refuses the job."""
        job = job_id(number)
        made = partial(Declared, own.tables, own.components, own.certificate)
        bank.control.event(job, made)
        bank.control.see(lambda control: None)
        record = bank.control.peek(job)
        assert record is not None
        assert (record.own.declaration is None) == (record.own.refusal is not None)
        return record.own.refusal.code if record.own.refusal else None

    limit(bank, at_hand=350 * KIB)
    for number in range(4):
        assert send(two, number, proposal=proposal(10)) == 1
    assert [declare(number) for number in range(4)] == [None] * 3 + ["ATL-FLW-016"]
    shown = bank.services.jobs.get(job_id(3))
    assert shown["code"] == "ATL-FLW-016"
    assert declare(0) is None
    limit(bank, per_day=2 * LEAST_BYTES + len(wide(1000)))
    for number in (5, 6):
        assert send(two, number, proposal=proposal(10)) == 1
    assert [declare(number) for number in (5, 6)] == [None, "ATL-FLW-016"]


def test_proposals_without_end(two: dict[str, LocalNode]) -> None:
    """Rule: so many bytes of jobs in a day, each counted as some at least, ATL-FLW-016."""
    limit(two["bank"], per_day=5 * LEAST_BYTES)
    held = [send(two, number, proposal=proposal(10)) for number in range(7)]
    assert held == [1] * 5 + [0] * 2


def test_questions_about_an_ended_job(
    two: dict[str, LocalNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each had the whole job read again. Rule: of what is held nothing is; the rest is counted."""
    bank, loads = two["bank"], list[str]()
    assert send(two, 0, proposal=proposal()) == 1
    assert send(two, 0, 2, **ENDED) == 2
    job = job_id(0)
    last = version_of(bank, job)
    real = bank.effects.load

    def load(name: str) -> JobRecord | None:
        loads.append(name)
        return real(name)

    def forget() -> None:
        record = bank.control.records.get(job)
        if record is not None:
            bank.control.see(lambda control: control._drop(record))

    monkeypatch.setattr(bank.effects, "load", load)
    for _ in range(80):
        forget()
        report(two, **{f"j{job}": last})
    assert not loads
    for _ in range(80):
        forget()
        report(two, **{f"j{job}": 0})
    assert 0 < len(loads) <= 64 + 4 * 30


def version_of(node: LocalNode, job: str) -> int:
    record = node.control.peek(job)
    assert record is not None
    return record.version


def call(party: str, number: int, size: int = 1) -> Call:
    return Call(number, party, "declare", memoryview(bytes(size)))


def test_calls_that_crowd_out_others() -> None:
    """All waited in one line for two threads. Rule: partners take turns; so many wait, NET-044."""
    waiting = WaitingCalls(at_once=2)
    assert [waiting.put(call("liar", at)) for at in range(CALLS + 1)] == [True] * CALLS + [False]
    assert waiting.put(call("honest", 0))
    taken = [waiting.take() for _ in range(3)]
    assert [entry.party for entry in taken if entry] == ["liar", "honest", "liar"]
    # However many threads are free, no more of the liar's are answered at once.
    assert waiting.put(call("honest", 1))
    later = waiting.take()
    assert later is not None
    assert later.party == "honest"
    for entry in (*taken, later):
        assert entry is not None
        waiting.done(entry)
    found = waiting.take()
    assert found is not None
    assert found.number == 2
    waiting.close()
    assert waiting.take() is None


class Looks:
    """The shop's only table, and what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def source(self, name: str, *, id_column: str, label: str | None) -> TableSource:
        self.asked.append(name)
        if name != "visits":
            raise AtollError("ATL-JOB-010", "this party has no such table")
        if id_column != "id":
            raise AtollError("ATL-TAB-002", "there is no such column")
        return TableSource(name, cast(Any, None), "id", None, "0" * 64, 2, ("spent",))

    def share(self, one: TableSource, two: TableSource) -> bool:
        return False


IDENTITY = SimpleNamespace(
    party="shop",
    peer=lambda party: None,
    certificate=b"certificate",
    secret=lambda purpose: b"k" * 32,
)


def declarer(looks: Looks, **options: Any) -> Declarer:
    def tables(allow: Callable[[str], None]) -> RegisteredTables:
        return RegisteredTables(looks, allow)

    return Declarer(lambda: cast(Identity, IDENTITY), lambda: CATALOGUE, tables, **options)


def reading(*tables: dict[str, str], **parameters: Any) -> Job:
    steps = {
        f"read{at}": {"component": "reader", "parameters": {"tables": one, **parameters}}
        for at, one in enumerate(tables)
    }
    parties = {"bank": "guest", "shop": "host"}
    return parse_job({"name": "any", "parties": parties, "steps": steps})


GUESSES = [("visits", "id"), ("visits", "no"), ("nothing", "id"), ("nothing", "no")]


def test_a_party_that_takes_no_part_asks_what_tables_there_are() -> None:
    """Codes differed by table and column. Rule: what is not sent it is not looked at."""
    looks = Looks()
    honest = declarer(looks)
    found = [honest.declare(reading({"shop": n}, id=c), "bank").to("bank") for n, c in GUESSES]
    assert [entry.tables for entry in found] == [{}] * 4
    assert not looks.asked


def test_a_party_that_takes_no_part_proposes_guesses() -> None:
    """Rule: it learns one code, whatever is wrong with the table, ATL-PLN-014."""
    honest = declarer(Looks())
    codes = []
    for name, column in GUESSES[1:]:
        with pytest.raises(AtollError) as caught:
            honest.declare(reading({"shop": name}, id=column), "bank", proposed=True)
        codes.append(caught.value.code)
        assert "ATL-" in caught.value.message
    assert codes == ["ATL-PLN-014"] * 3


def test_asking_for_plans_without_end() -> None:
    """Steps over tables cost time each. Rule: so many looks of a partner in time, ATL-PLN-013."""
    looks, now = Looks(), [0.0]
    honest = declarer(looks, spend=Allowance(100, 100.0, lambda: now[0]).spend)
    job = reading(*[{"shop": "visits"}] * 40)
    both = reading(*[{"shop": "visits", "bank": "loans"}] * 40)
    for _ in range(2):
        honest.declare(both, "bank")
    with pytest.raises(AtollError, match="ATL-PLN-013"):
        honest.declare(both, "bank")
    assert len(looks.asked) == 80
    # Its own people, another partner, and a proposal with few tables are not held up by it.
    honest.declare(job)
    honest.declare(replace_party(both), "post")
    honest.declare(reading({"shop": "visits", "bank": "loans"}), "bank", proposed=True)
    with pytest.raises(AtollError, match="ATL-PLN-013"):
        honest.declare(both, "bank", proposed=True)
    now[0] = 90.0
    honest.declare(both, "bank")


def replace_party(job: Job) -> Job:
    plain = job.canonical()
    text = str(plain["parties"])
    assert "bank" in text
    for step in plain["steps"].values():
        step["parameters"]["tables"] = {"shop": "visits", "post": "loans"}
    return parse_job({**plain, "parties": {"post": "guest", "shop": "host"}})


def test_an_allowance_comes_back_evenly() -> None:
    now = [0.0]
    allowance = Allowance(10, 100.0, lambda: now[0])
    assert all(allowance.spend("liar") for _ in range(10))
    assert not allowance.spend("liar")
    assert allowance.spend("honest")
    now[0] = 10.0
    assert allowance.spend("liar")
    assert not allowance.has("liar")


def test_a_job_of_which_the_list_alone_is_kept_begins_again(two: dict[str, LocalNode]) -> None:
    """Lie: a job that was ended and shortened is proposed once more. Rule: ATL-FLW-004."""
    bank = two["bank"]
    assert send(two, 0, proposal=proposal()) == 1
    assert send(two, 0, 2, **ENDED) == 2
    record = bank.control.records[job_id(0)]
    bank.control.see(lambda control: control._drop(record))
    assert prune(bank.database, None, Retention(partner_bytes=0), time.time()).jobs == ()
    assert report(two, Update(job_id(0), 0, 3, {"run": b"\x02", "proposal": proposal()})) == {
        job_id(0): 0
    }
    assert not bank.control.records
    shown = bank.services.jobs.get(job_id(0))
    assert (shown["name"], shown["parties"]) == ("heavy", {"shop": "guest", "bank": "host"})


def test_questions_that_grow_the_ledger(two: dict[str, LocalNode]) -> None:
    """300 questions wrote 600 lines. Rule: made-up tables are in no line, real ones once each."""
    bank, lines = two["bank"], list[str]()

    class Ledger:
        def declared(self, run: str, job: Job, sizes: dict[str, int]) -> None:
            lines.append(run)

    honest = declarer(Looks())
    decider = bank.decider
    policies = SimpleNamespace(ledger=Ledger())
    decider._policies, real = cast(Any, policies), decider._policies
    made_up = {"component": "synthetic"}
    both = {"component": "reader", "parameters": {"tables": {"shop": "visits", "bank": "loans"}}}
    for number in range(20):
        steps = {f"read{at}": both for at in range(number % 4)}
        steps["made"] = {**made_up, "parameters": {"seed": number}}
        parties = {"bank": "guest", "shop": "host"}
        asked = parse_job({"name": "any", "parties": parties, "steps": steps})
        decider.preview_declared(asked, honest.declare(asked, "bank").to("bank"), "bank")
    decider._policies = real
    assert len(set(lines)) == 1
