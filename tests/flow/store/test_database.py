"""Transactions, the writer's thread and reconnecting, on each kind of database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection, select

from atoll.core.errors import InternalError
from atoll.flow.store import Database, Events, Jobs, Meta, after_commit, engine, schema
from atoll.flow.store.migrate import HEAD, current
from atoll.jobs.errors import ConflictError, EnvironmentFault
from tests.flow.store.samples import job
from tests.flow.store.servers import Server


def test_what_fails_leaves_nothing(database: Database) -> None:
    def work(connection: Connection) -> None:
        Jobs(database).create(job(1), connection=connection)
        Meta(database).set("a", "b", connection=connection)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        database.write(work)
    assert Jobs(database).find(job(1).id) is None
    assert Meta(database).get("a") is None


def test_a_failing_neighbour_undoes_nothing(database: Database) -> None:
    meta = Meta(database)
    gate, started = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        started.set()
        gate.wait(30)

    database.submit(hold)
    started.wait(30)

    def put(name: str) -> Callable[[Connection], None]:
        return lambda connection: meta.set(name, "1", connection=connection)

    def bad(connection: Connection) -> None:
        meta.set("bad", "1", connection=connection)
        raise ValueError

    def twice(connection: Connection) -> None:
        row = {"name": "twice", "value": "1"}
        connection.execute(schema.meta.insert().values(**row))
        connection.execute(schema.meta.insert().values(**row))

    before = database.commits
    wishes = [database.submit(put(f"k{n}")) for n in range(9)]
    wishes[4:4] = [database.submit(bad), database.submit(twice)]
    wishes.append(database.submit(put("last")))
    gate.set()
    wait(wishes, 30)
    faults = [type(wish.exception()) for wish in wishes if wish.exception()]
    assert faults == [ValueError, ConflictError]
    assert [meta.get(name) for name in ("bad", "twice", "k0", "k8", "last")] == [
        *[None, None],
        *["1", "1", "1"],
    ]
    assert database.commits == before + 2


def test_writes_are_done_in_order(database: Database) -> None:
    order: list[int] = []

    def note(number: int) -> Callable[[Connection], None]:
        return lambda connection: order.append(number)

    wishes = [database.submit(note(n)) for n in range(100)]
    wait(wishes, 30)
    assert order == list(range(100))


def test_a_reader_sees_one_state(database: Database) -> None:
    meta = Meta(database)
    meta.set("a", "1")

    def look(connection: Connection) -> tuple[str | None, str | None]:
        before = meta.get("a", connection=connection)
        meta.set("a", "2")
        return before, meta.get("a", connection=connection)

    assert database.read(look) == ("1", "1")
    assert meta.get("a") == "2"


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises((EnvironmentFault, InternalError), match="ATL-STO-005"):
        database.read(lambda c: c.execute(schema.meta.insert().values(name="x", value="y")))
    assert Meta(database).get("x") is None


def test_hooks_run_after_the_commit(database: Database) -> None:
    seen: list[str | None] = []
    meta = Meta(database)

    def work(connection: Connection) -> None:
        meta.set("a", "1", connection=connection)
        after_commit(connection, lambda: seen.append(meta.get("a")))

    def failing(connection: Connection) -> None:
        after_commit(connection, lambda: seen.append("never"))
        raise ValueError("mine")

    database.write(work)
    with pytest.raises(ValueError, match="mine"):
        database.write(failing)
    assert seen == ["1"]
    with pytest.raises(InternalError, match="ATL-STO-017"):
        database.read(lambda c: after_commit(c, lambda: None))


def test_a_failing_hook_harms_nobody(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    def work(connection: Connection) -> int:
        after_commit(connection, lambda: [][0])
        return 7

    assert database.write(work) == 7
    assert database.write(lambda c: 8) == 8
    assert "IndexError" in caplog.text


def test_who_read_what_was_committed_finds_what_its_hooks_did(database: Database) -> None:
    """Else a follower of a job's events finds the job as it was before the event."""
    meta, visible, go = Meta(database), threading.Event(), threading.Event()
    done: list[str] = []

    def hook() -> None:
        visible.set()
        assert go.wait(10.0)
        done.append("hook")

    def write(connection: Connection) -> None:
        meta.set("a", "1", connection=connection)
        after_commit(connection, hook)

    def look() -> None:
        with database.published():
            done.append("look")

    written = database.submit(write)
    assert visible.wait(10.0)
    assert meta.get("a") == "1"
    reader = threading.Thread(target=look)
    reader.start()
    reader.join(0.1)
    go.set()
    written.result(10.0)
    reader.join(10.0)
    assert done == ["hook", "look"]


def test_a_write_in_a_write_is_refused(database: Database) -> None:
    with pytest.raises(InternalError, match="ATL-STO-017"):
        database.write(lambda c: database.write(lambda d: None))


def test_events_are_numbered_per_job(database: Database) -> None:
    jobs, events = Jobs(database), Events(database)
    jobs.create(job(1))
    jobs.create(job(2))
    for n in range(3):
        events.append(job(1).id, 1.0, "state", data={"n": n})
    events.append(job(2).id, 1.0, "state")
    assert [row.number for row in events.list(job(1).id)] == [1, 2, 3]
    assert [row.number for row in events.list(job(2).id)] == [1]
    assert [row.data["n"] for row in events.list(job(1).id, after=1)] == [1, 2]
    events.append(job(1).id, 1.0, "step", step="a")
    assert [row.number for row in events.list(job(1).id, kind="step")] == [4]
    assert events.last(job(1).id) == 4
    assert events.last("20260101000000-ffffffff") == 0


def test_who_waits_is_woken_by_the_commit(database: Database) -> None:
    events = Events(database)
    Jobs(database).create(job(1))
    listening = threading.Event()
    found: list[int] = []

    def waiter() -> None:
        with database.notifier.listening(job(1).id, listening.set):
            pass
        listening.set()
        found.extend(row.number for row in events.wait(job(1).id, 0, 30))

    thread = threading.Thread(target=waiter)
    thread.start()
    listening.wait(30)
    events.append(job(1).id, 1.0, "state")
    thread.join(30)
    assert found == [1]
    assert events.wait(job(1).id, 1, 0.0) == ()


def test_who_waits_is_let_go_when_it_closes(fresh_url: str) -> None:
    database = Database.open(fresh_url)
    Jobs(database).create(job(1))
    events = Events(database)
    threads = [threading.Thread(target=events.wait, args=(job(1).id, 0, 60)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(database.notifier) < 3:
        threading.Event().wait(0.01)
    database.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    with pytest.raises(InternalError, match="ATL-STO-017"):
        events.last(job(1).id)


def test_opening_twice_is_refused(fresh_url: str) -> None:
    with Database.open(fresh_url) as database:
        Meta(database).set("a", "1")
        with pytest.raises(ConflictError, match="ATL-STO-007"):
            Database.open(fresh_url)
        with Database.open_reading(fresh_url) as beside:
            assert Meta(beside).get("a") == "1"
            with pytest.raises(InternalError, match="ATL-STO-017"):
                Meta(beside).set("a", "2")
    with Database.open(fresh_url) as again:
        assert Meta(again).get("a") == "1"
        assert again.read(current) == HEAD


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_lock_of_one_who_goes_is_waited_for(
    fresh_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server notices a moment later that a node is gone, when the next has started already."""
    former = Database.open(fresh_url)

    def sleep(seconds: float) -> None:
        former.close()
        time.sleep(seconds)

    patient = SimpleNamespace(monotonic=time.monotonic, sleep=sleep)
    monkeypatch.setattr(engine, "time", patient)
    with Database.open(fresh_url) as database:
        Meta(database).set("a", "1")
    assert former.closed


def test_nothing_is_written_after_closing(fresh_url: str) -> None:
    database = Database.open(fresh_url)
    wishes = [database.submit(lambda c: 1) for _ in range(20)]
    database.close()
    database.close()
    assert sum(wish.result(0) for wish in wishes) == 20
    with pytest.raises(InternalError, match="ATL-STO-017"):
        database.write(lambda c: 1)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_lost_connection_comes_back(
    kind: str, fresh_url: str, servers: Callable[[str], Server]
) -> None:
    """The server ends our sessions: before a write, in the middle of one, and of a reader."""
    own = {"postgresql": "pg_backend_pid()", "mariadb": "connection_id()"}[kind]
    with Database.open(fresh_url) as database, Database.open_reading(fresh_url) as other:
        meta = Meta(database)
        runs: list[int] = []

        def kill(number: int) -> None:
            end = {
                "postgresql": f"SELECT pg_terminate_backend({number})",
                "mariadb": f"KILL {number}",
            }
            other.read(lambda c: c.exec_driver_sql(end[kind]))

        def work(connection: Connection) -> int:
            number = int(connection.exec_driver_sql(f"SELECT {own}").scalar_one())
            meta.set("a", str(number), connection=connection)
            runs.append(number)
            if len(runs) == 1:
                kill(number)
            return number

        database.write(lambda c: None)
        assert database.write(work) == runs[1]
        assert len(runs) == 2
        assert meta.get("a") == str(runs[1])
        kill(runs[1])
        meta.set("b", "1")
        assert meta.get("b") == "1"


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_commit_that_took_is_not_done_again(
    kind: str, fresh_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks right after the server has committed: the mark tells."""
    with Database.open(fresh_url) as database:
        Jobs(database).create(job(1))
        events = Events(database)
        dialect = database._writing.dialect  # type: ignore[union-attr]
        broken: list[bool] = []
        commit = dialect.do_commit

        def lose_the_answer(connection: object) -> None:
            commit(connection)  # type: ignore[arg-type]
            if not broken:
                broken.append(True)
                error = dialect.loaded_dbapi.InterfaceError
                raise error("connection is closed")

        monkeypatch.setattr(dialect, "do_commit", lose_the_answer)
        events.append(job(1).id, 1.0, "once")
        assert broken
        assert [row.number for row in events.list(job(1).id)] == [1]
        events.append(job(1).id, 1.0, "twice")
        assert events.last(job(1).id) == 2


def test_every_table_is_there(database: Database) -> None:
    def look(connection: Connection) -> None:
        for table in schema.metadata.sorted_tables:
            assert connection.execute(select(table).limit(1)).all() is not None

    database.read(look)
