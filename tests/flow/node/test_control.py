"""The control thread when its database does not take what it writes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from atoll.flow.control import Command, Ended, JobRecord, StopAsked, parse_sync, view
from atoll.flow.node.jobs.batch import Batch, Write
from atoll.flow.node.jobs.control import Control, Item
from atoll.flow.store import Database, Meta, after_commit
from atoll.jobs.errors import ConflictError, EnvironmentFault
from tests.e2e.nodes import until
from tests.flow.control import pair


def refuse(connection: Connection) -> None:
    """Write what can never be written."""
    raise ConflictError("ATL-STO-012", "a row like this exists already")


class Nothing:
    """Effects of a node without jobs."""

    def carry_out(self, record: JobRecord, command: Command) -> None:
        raise AssertionError

    def saved(
        self, connection: Connection, record: JobRecord, commands: tuple[Command, ...]
    ) -> None:
        raise AssertionError

    def load(self, job: str) -> JobRecord | None:
        return None

    def known(self, jobs: Collection[str]) -> frozenset[str]:
        return frozenset()

    def check_open(self, partner: str, job: str, unfinished: int) -> None:
        raise AssertionError

    def check_again(self, partner: str, unfinished: int) -> None:
        raise AssertionError

    def wake(self, peers: tuple[str, ...]) -> None:
        raise AssertionError


class OneJob(Nothing):
    """Effects of a node with one job, whose rows are a record in memory."""

    def __init__(self, record: JobRecord) -> None:
        self.written = record
        self.ended = threading.Event()

    def carry_out(self, record: JobRecord, command: Command) -> None:
        if isinstance(command, Ended):
            self.ended.set()

    def saved(
        self, connection: Connection, record: JobRecord, commands: tuple[Command, ...]
    ) -> None:
        self.written = record

    def load(self, job: str) -> JobRecord | None:
        return self.written


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(f"sqlite:///{tmp_path}/atoll.db", retry_seconds=0.1) as made:
        yield made


@pytest.fixture
def control(database: Database) -> Iterator[Control]:
    made = Control(database, cast(Any, None), Nothing())
    made.start({})
    yield made
    made.close()


def test_who_waits_for_a_write_that_cannot_be_done_is_told(control: Control) -> None:
    def broken(control: Control, batch: Batch) -> None:
        batch.writes.append(refuse)

    with pytest.raises(ConflictError, match="ATL-STO-012"):
        control.ask(broken)
    assert control.ask(lambda control, batch: 7) == 7


def test_what_cannot_be_written_takes_nothing_else_along(
    control: Control, database: Database
) -> None:
    """All of it comes in one transaction: the thread is held up until it is queued."""
    started, go = threading.Event(), threading.Event()
    reported: list[str] = []

    def hold(control: Control, batch: Batch) -> None:
        started.set()
        assert go.wait(10.0)

    def item(name: str, write: Write) -> Item:
        def work(control: Control, batch: Batch) -> None:
            batch.writes.append(write)
            batch.after.append(lambda: reported.append(name))
            batch.failed.append(lambda error: reported.append(error.code))

        return work

    def note(name: str) -> Item:
        return item(name, lambda c: Meta(database).set(name, "yes", connection=c))

    control.post(hold)
    assert started.wait(10.0)
    for work in (note("a"), item("broken", refuse), note("b")):
        control.post(work)
    go.set()
    assert control.ask(lambda control, batch: 7) == 7
    assert reported == ["a", "ATL-STO-012", "b"]
    assert Meta(database).get("a") == Meta(database).get("b") == "yes"


def test_a_look_is_taken_once_and_sees_what_is_committed(
    control: Control, database: Database
) -> None:
    started, go = threading.Event(), threading.Event()
    looks: list[str | None] = []

    def hold(control: Control, batch: Batch) -> None:
        started.set()
        assert go.wait(10.0)

    def broken(control: Control, batch: Batch) -> None:
        batch.writes.append(refuse)

    def note(control: Control, batch: Batch) -> None:
        batch.writes.append(lambda c: Meta(database).set("a", "yes", connection=c))

    def look(control: Control) -> int:
        looks.append(Meta(database).get("a"))
        return 7

    control.post(hold)
    assert started.wait(10.0)
    for work in (note, broken):
        control.post(work)
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(control.see, look)
        until(lambda: control._inbox.qsize() == 3)
        go.set()
        assert seen.result(10.0) == 7
    assert looks == ["yes"]


def test_a_lock_is_waited_out_and_named_meanwhile(control: Control, database: Database) -> None:
    def note(connection: Connection) -> None:
        Meta(database).set("noted", "yes", connection=connection)

    def work(control: Control, batch: Batch) -> None:
        batch.writes.append(note)

    assert database.file is not None
    with closing(sqlite3.connect(database.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EnvironmentFault, match="ATL-STO-002"):
            control.ask(work, timeout=2.0)
        other.execute("ROLLBACK")
    control.ask(work)
    assert Meta(database).get("noted") == "yes"


def test_a_job_whose_event_cannot_be_written_ends_with_the_code(database: Database) -> None:
    node = pair.Node("bank")
    node.submit(pair.make_job())
    effects = OneJob(node.record)
    control = Control(database, node.rules, effects)
    control.start({})
    try:
        control.event(pair.JOB_ID, lambda now: StopAsked("cancel", "bank", now), refuse)
        assert effects.ended.wait(10.0)
    finally:
        control.close()
    found = view(effects.written)
    assert (found.state, found.code) == ("failed", "ATL-STO-012")


def test_others_see_of_a_job_what_is_committed(database: Database) -> None:
    """Else a job would be over for them before its outputs are there, or though they never are."""
    node = pair.Node("bank")
    node.submit(pair.make_job())
    effects = OneJob(node.record)
    control = Control(database, node.rules, effects)
    control.start({pair.JOB_ID: node.record})
    started, go = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        started.set()
        assert go.wait(10.0)

    try:
        control.event(pair.JOB_ID, lambda now: StopAsked("cancel", "bank", now), hold)
        assert started.wait(10.0)
        moved, seen = control.records[pair.JOB_ID], control.peek(pair.JOB_ID)
        go.set()
        assert effects.ended.wait(10.0)
        assert view(moved).state == "cancelled"
        assert seen is not None
        assert view(seen).state == "waiting"
        assert control.peek(pair.JOB_ID) is moved
    finally:
        go.set()
        control.close()


def test_who_read_a_jobs_event_finds_the_job_after_it(database: Database) -> None:
    """Else who is told that a job waits for an approval may not approve it yet."""
    node = pair.Node("bank")
    node.submit(pair.make_job())
    armed, visible, go = threading.Event(), threading.Event(), threading.Event()
    states: list[str] = []

    def hold() -> None:
        visible.set()
        assert go.wait(10.0)

    def write(function: Write) -> None:
        def both(connection: Connection) -> None:
            if armed.is_set():
                after_commit(connection, hold)
            function(connection)

        database.write(both)

    held = SimpleNamespace(write=write, published=database.published)
    control = Control(cast(Any, held), node.rules, OneJob(node.record))

    def look() -> None:
        found = control.peek(pair.JOB_ID)
        assert found is not None
        states.append(view(found).state)

    control.start({pair.JOB_ID: node.record})
    try:
        control.see(lambda _: None)
        armed.set()
        control.event(pair.JOB_ID, lambda now: StopAsked("cancel", "bank", now))
        assert visible.wait(10.0)
        reader = threading.Thread(target=look)
        reader.start()
        reader.join(0.1)
        go.set()
        reader.join(10.0)
        assert states == ["cancelled"]
    finally:
        go.set()
        control.close()


class Woken(OneJob):
    """Effects whose listener looks at the job at the moment of each commit."""

    def __init__(self, record: JobRecord) -> None:
        super().__init__(record)
        self.control: Control
        self.seen: list[JobRecord | None] = []

    def saved(
        self, connection: Connection, record: JobRecord, commands: tuple[Command, ...]
    ) -> None:
        super().saved(connection, record, commands)
        after_commit(connection, lambda: self.seen.append(self.control.peek(record.id)))


def test_who_is_woken_by_a_commit_sees_what_it_holds(database: Database) -> None:
    """Else who waits for the end finds the job still going on, and waits for news in vain."""
    node = pair.Node("bank")
    node.submit(pair.make_job())
    effects = Woken(node.record)
    effects.control = Control(database, node.rules, effects)
    effects.control.start({pair.JOB_ID: node.record})
    try:
        effects.control.event(pair.JOB_ID, lambda now: StopAsked("cancel", "bank", now))
        assert effects.ended.wait(10.0)
    finally:
        effects.control.close()
    assert [view(seen).state for seen in effects.seen if seen] == ["cancelled"]


class Stumbling(OneJob):
    """Effects that fail at all commands but a job's end."""

    def __init__(self, record: JobRecord) -> None:
        super().__init__(record)
        self.stumbled = 0
        self.writes = 0

    def carry_out(self, record: JobRecord, command: Command) -> None:
        super().carry_out(record, command)
        if not isinstance(command, Ended):
            self.stumbled += 1
            raise RuntimeError("on purpose")

    def saved(
        self, connection: Connection, record: JobRecord, commands: tuple[Command, ...]
    ) -> None:
        super().saved(connection, record, commands)
        self.writes += 1


def test_what_follows_a_commit_undoes_nothing_of_it(database: Database) -> None:
    node = pair.Node("bank")
    node.submit(pair.make_job())
    effects = Stumbling(node.record)
    control = Control(database, node.rules, effects)
    control.start({})

    def stumble() -> None:
        raise RuntimeError("on purpose")

    try:
        control.post(lambda control, batch: batch.after.append(stumble))
        control.event(pair.JOB_ID, lambda now: StopAsked("cancel", "bank", now))
        assert effects.ended.wait(10.0)
        assert control.ask(lambda control, batch: 7) == 7
    finally:
        control.close()
    assert effects.stumbled > 0
    assert effects.writes == 1
    assert view(effects.written).state == "cancelled"


class Refusing(Nothing):
    """Effects of a node whose database takes no row of one job."""

    def __init__(self, refused: str) -> None:
        self.refused = refused
        self.written: set[str] = set()

    def carry_out(self, record: JobRecord, command: Command) -> None:
        pass

    def saved(
        self, connection: Connection, record: JobRecord, commands: tuple[Command, ...]
    ) -> None:
        if record.id == self.refused:
            refuse(connection)
        self.written.add(record.id)

    def check_open(self, partner: str, job: str, unfinished: int) -> None:
        pass


def test_a_job_that_cannot_be_written_holds_no_other_of_its_partner_up(database: Database) -> None:
    bank, shop = pair.Node("bank"), pair.Node("shop")
    names = [f"20261122100000-0000000{at}" for at in range(3)]
    for name in names:
        bank.submit(pair.make_job(), name)
    effects = Refusing(names[1])
    control = Control(database, shop.rules, effects)
    control.start({})
    try:
        message = parse_sync(bank.message_to("shop"))
        control.take("bank", message)
        held = control.ask(
            lambda control, batch: dict(control.exchange("bank").message(control.records).held)
        )
    finally:
        control.close()
    assert effects.written == {names[0], names[2]}
    assert [held[name] > 0 for name in names] == [True, False, True]
