"""Partners that use up the control thread's time, by many updates that are small."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from atoll.core.errors import AtollError
from atoll.flow import control
from atoll.flow.control import (
    JobRecord,
    Options,
    SyncMessage,
    Update,
    encode_sync,
    machine,
    parse_sync,
)
from atoll.flow.control.facts import End, Proposal, Slot, StepCommand, TaskFact, encode_section
from atoll.flow.node.jobs import batch as gathered
from atoll.flow.node.jobs.batch import Batch
from atoll.flow.node.jobs.control import Control, Item, _tick
from atoll.flow.node.jobs.partner_load import SMALL_BYTES
from atoll.flow.store import Events
from atoll.jobs.definition import Job, parse_job
from atoll.sim.nodes import LocalNode
from tests.channel.grpc.world import LONG
from tests.dishonest.test_work import job_id, limit, report, send, two
from tests.e2e.nodes import until
from tests.flow.control.pair import Node, World, make_job

__all__ = ["two"]
STEPS = 12


def chain(steps: int = STEPS) -> Job:
    """Return a job of many steps at tables that the bank does not have."""
    read = {"component": "reader", "parameters": {"tables": {"shop": "a", "bank": "nosuch"}}}
    later = {
        f"a{at}": {"component": "psi", "inputs": {"table": f"a{at - 1}.table"}}
        for at in range(1, steps)
    }
    parties = {"shop": "guest", "bank": "host"}
    return parse_job({"name": "chain", "parties": parties, "steps": {"a0": read, **later}})


def proposed(two: dict[str, LocalNode], number: int = 0, steps: int = STEPS) -> Job:
    """Let the shop propose a job that the bank refuses."""
    job = chain(steps)
    proposal = encode_section(Proposal(job, bytes(32), Options(peer_seconds=3600.0)))
    assert send(two, number, proposal=proposal) == 1
    return job


def offer(number: int, version: int) -> Update:
    slot = encode_section(Slot(offer=version))
    return Update(job_id(number), version - 1, version, {"slot": slot})


def test_many_updates_of_one_job_in_one_message(two: dict[str, LocalNode]) -> None:
    """Lie: 4,096 updates in a call, 18 ms each. Rule: one of each job, ATL-FLW-001."""
    proposed(two)
    body = encode_sync(SyncMessage((offer(0, 2), offer(0, 3)), {}))
    with pytest.raises(AtollError, match="ATL-FLW-001"):
        parse_sync(body)
    with pytest.raises(AtollError, match="ATL-FLW-001"):
        two["shop"].gateway.call("bank", "sync", body, LONG)


def sent(count: int) -> SyncMessage:
    """Return a message that proposes so many jobs."""
    made = {"proposal": encode_section(Proposal(chain(1), bytes(32), Options()))}
    return SyncMessage(tuple(Update(job_id(number), 0, 1, made) for number in range(count)), {})


def taken_in(
    node: LocalNode,
    monkeypatch: pytest.MonkeyPatch,
    messages: dict[str, SyncMessage],
    seen: Callable[[Future[None]], None] = lambda first: None,
) -> list[str]:
    """Have messages come at the same time, of which each update takes a second; return the order.

    An event of the node's own comes after them.
    """
    order: list[str] = []
    now = [time.monotonic()]
    futures = {peer: Future[None]() for peer in messages}

    def receive(peer: str, update: Update, batch: Batch) -> None:
        order.append(peer)
        now[0] += 1.0
        seen(futures[peer])

    def come(made: Control, batch: Batch) -> None:
        for peer, message in messages.items():
            made._intake.take(made, batch, made._load, peer, message, futures[peer])
        made.post(lambda c, b: order.append("own"))

    monkeypatch.setattr(node.control, "receive", receive)
    monkeypatch.setattr(node.control, "_monotonic", lambda: now[0])
    node.control.post(come)
    for future in futures.values():
        with suppress(CancelledError):
            future.result(LONG)
    return order


def test_updates_that_hold_others_up(
    two: dict[str, LocalNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lie: many updates at once. Rule: the node's own events and other partners go between."""
    order = taken_in(two["bank"], monkeypatch, {"shop": sent(6), "post": sent(1)})
    assert order == ["shop", "own", "post", *["shop"] * 5]


def refused_jobs(two: dict[str, LocalNode], count: int) -> None:
    """Let the shop propose jobs; each is refused by now, so that nothing more of it comes."""
    for number in range(count):
        proposed(two, number)
    names, control = [job_id(number) for number in range(count)], two["bank"].control
    until(lambda: control.see(lambda made: all(made.records[n].own.refusal for n in names)))


def rounds_of(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the jobs of each transaction of the control thread from now on, one a round."""
    rounds: list[list[str]] = []
    real = node.control._commit

    def commit(batch: Batch) -> None:
        if batch.changed:
            rounds.append(list(batch.changed))
        real(batch)

    monkeypatch.setattr(gathered, "ROUND_BYTES", 1)
    monkeypatch.setattr(node.control, "_commit", commit)
    return rounds


def test_small_updates_of_large_jobs(
    two: dict[str, LocalNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lie: 40 bytes for each of 12 jobs of 4 MiB, again and again. Gain before: all were written
    whole in one transaction, 2 to 3 s in which nobody else was answered. Rule: a round ends once
    what it changed is as large as one writes at once, and another partner is next.
    """
    refused_jobs(two, 4)
    bank, seen = two["bank"], list[int]()
    rounds = rounds_of(bank, monkeypatch)
    shop, post = Future[None](), Future[None]()
    post.add_done_callback(lambda done: seen.append(len(rounds)))

    def come(made: Control, batch: Batch) -> None:
        updates = tuple(offer(number, 2) for number in range(4))
        made._intake.take(made, batch, made._load, "shop", SyncMessage(updates, {}), shop)
        made._intake.take(made, batch, made._load, "post", sent(1), post)

    bank.control.post(come)
    shop.result(LONG)
    post.result(LONG)
    assert rounds == [[job_id(number)] for number in range(4)]
    assert seen[0] < 4


def test_other_events_of_large_jobs(
    two: dict[str, LocalNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same by what else comes to a partner's jobs at one moment: their order stays."""
    refused_jobs(two, 3)
    control, go = two["bank"].control, threading.Event()
    rounds = rounds_of(two["bank"], monkeypatch)

    def come(update: Update) -> Item:
        return lambda made, batch: made.receive("shop", update, batch)

    control.post(lambda c, batch: cast(None, go.wait(LONG)))
    for version, number in ((2, 0), (2, 1), (2, 2), (3, 1)):
        control.post(come(offer(number, version)))
    go.set()
    control.ask(lambda c, batch: None)
    assert rounds == [[job_id(number)] for number in (0, 1, 2, 1)]


def test_many_large_jobs_that_are_over_at_the_same_tick() -> None:
    """Each tick moves all jobs: those that do not fit in a round wait for the next."""
    moved, later = list[str](), list[Item]()
    batch = SimpleNamespace(full=False)

    def move(job: str, event: control.Event, made: Any) -> None:
        moved.append(job)
        made.full = len(moved) % 2 == 0

    made: Any = SimpleNamespace(
        records={name: SimpleNamespace(end=None) for name in "abcde"},
        last_contact={},
        now=control.Moment(0.0, 0.0),
        move=move,
        post=later.append,
        drop_settled=lambda: moved.append("dropped"),
    )
    _tick(made, cast(Any, batch))
    for _ in range(2):
        later.pop()(made, cast(Any, SimpleNamespace(full=False)))
    assert moved == ["a", "b", "c", "d", "e", "dropped"]
    assert not later


def test_updates_of_a_call_that_gave_up(
    two: dict[str, LocalNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stayed in the queue. Rule: they are dropped."""

    def cancel(message: Future[None]) -> None:
        message.cancel()

    order = taken_in(two["bank"], monkeypatch, {"shop": sent(6)}, cancel)
    two["bank"].control.ask(lambda c, batch: None)
    assert order == ["shop", "own"]
    assert not two["bank"].control._intake


def test_updates_of_jobs_that_are_not_known(
    two: dict[str, LocalNode], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each was searched for and logged. Rule: one question a message, and lines are counted."""
    bank, loads = two["bank"], list[str]()
    real = bank.effects.load

    def load(name: str) -> JobRecord | None:
        loads.append(name)
        return real(name)

    monkeypatch.setattr(bank.effects, "load", load)
    ended = {"end": encode_section(End("cancelled"))}
    updates = tuple(offer(number, 2) for number in range(300))
    over = tuple(Update(job_id(number), 0, 7, ended) for number in range(300, 600))
    asked = {f"j{job_id(number)}": 3 for number in range(600, 900)}
    with caplog.at_level(logging.INFO):
        held = report(two, *updates, *over, **asked)
    assert [held[job_id(number)] for number in (0, 299, 300, 599)] == [0, 0, 7, 7]
    assert not loads
    assert len([entry for entry in caplog.records if "shop" in entry.getMessage()]) <= 4


def written(node: LocalNode, job: str) -> list[str]:
    return [row.kind for row in Events(node.database).list(job)]


def test_attempts_that_no_one_approved_grow_no_events(two: dict[str, LocalNode]) -> None:
    """Forty updates wrote 2,400 events. Rule: there are none before all approved."""
    names = proposed(two).steps
    bank = two["bank"]
    before = written(bank, job_id(0))
    for version in range(2, 8):
        tasks = encode_section({name: TaskFact(version, "running") for name in names})
        commands = encode_section({name: StepCommand(version) for name in names})
        assert send(two, 0, version, tasks=tasks, commands=commands) == version
    assert "step" not in written(bank, job_id(0))
    assert len(before) <= len(written(bank, job_id(0))) <= len(before) + 1


def test_small_updates_are_counted(two: dict[str, LocalNode]) -> None:
    """Rule: each counts as 4 KiB of what a partner may send in a day, but an end that is new."""
    proposed(two)
    limit(two["bank"], per_day=3 * SMALL_BYTES)
    held = []
    for version in range(2, 7):
        sections = {"slot": encode_section(Slot(offer=version))}
        held.append(send(two, 0, version, **sections))
    assert held == [2, 3, 4, 4, 4]


def settled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the jobs whose rules were gone through, from now on."""
    found: list[str] = []
    real = machine._settle

    def settle(transition: Any) -> None:
        found.append(transition.record.id)
        real(transition)

    monkeypatch.setattr(machine, "_settle", settle)
    return found


def test_refused_jobs_that_stay_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cost its whole rules each second. Rule: they are gone through when something is due."""
    world = World()
    honest = world["shop"]
    honest.policy = lambda c: control.Decided("refuse", honest.now, code="ATL-POL-003", run=c.run)
    liar = world["bank"]
    liar.submit(make_job(), peer_seconds=3600.0)
    for _ in range(3):
        honest.receive("bank", liar.message_to("shop"))
        if honest.record.own.refusal is None:
            liar.receive("shop", honest.message_to("bank"))
    assert honest.record.own.refusal is not None
    assert honest.record.end is None
    found = settled(monkeypatch)
    pass_time(honest, 1.0, 3000)
    assert len(found) <= 1
    pass_time(honest, 1.0, 601)
    assert honest.record.end is not None


def test_plans_that_are_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lie: no digest of the plan is sent. Rule: nothing is gone through before that ends it."""
    world = World()
    liar, honest = world["bank"], world["shop"]
    liar.submit(make_job(), progress_seconds=500.0)
    for _ in range(4):
        message = liar.exchanges["shop"].message(liar.records)
        cut = tuple(
            replace(u, sections={n: d for n, d in u.sections.items() if n != "plan"})
            for u in message.updates
        )
        honest.receive("bank", encode_sync(replace(message, updates=cut)))
        liar.receive("shop", honest.message_to("bank"))
    assert honest.record.plan is not None
    assert "plans" in honest.record.marks
    found = settled(monkeypatch)
    pass_time(honest, 1.0, 400)
    assert not found
    honest.last_contact["bank"] = honest.now.monotonic + 90.0
    pass_time(honest, 1.0, 101)
    assert honest.record.own.stop is not None


def pass_time(node: Node, seconds: float, times: int) -> None:
    for _ in range(times):
        now = node.now
        node.now = control.Moment(now.monotonic + seconds, now.wall + seconds)
        node.tick()


def test_a_busy_node_is_not_one_that_stops(two: dict[str, LocalNode]) -> None:
    """ATL-NOD-021 was what a mere time-out was called. Rule: ATL-NOD-035."""
    bank = two["bank"]
    go = threading.Event()
    bank.control.post(lambda c, batch: cast(None, go.wait(LONG)))
    with pytest.raises(AtollError, match="ATL-NOD-035"):
        bank.control.ask(lambda c, batch: None, timeout=0.01)
    go.set()
    assert bank.control.ask(lambda c, batch: 7) == 7
