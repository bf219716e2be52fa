"""A node with a long history: lists stay quick and small, whatever lies behind them."""

from __future__ import annotations

import statistics as numbers
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from atoll.flow.store import Database, Events, Jobs, Tasks, every
from atoll.flow.store.schema import job_parties, job_tags, jobs, tasks
from tests.flow.store.samples import job, task

ENDED = 10_000
QUEUED = 1_000


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """10,000 ended jobs of two steps, and 1,000 that wait with machines of 20 kB."""
    folder: Path = tmp_path_factory.mktemp("history")
    large = {"steps": {f"step {n}": "x" * 100 for n in range(200)}}
    small = {"steps": {f"step {n}": "x" * 100 for n in range(20)}}
    with Database.open(f"sqlite:///{folder}/atoll.db") as database:

        def fill(connection: Connection) -> None:
            count = ENDED + QUEUED
            rows = [
                job(
                    n,
                    state="success" if n <= ENDED else "waiting",
                    tags=[f"tag {n % 10}"],
                    machine=small if n <= ENDED else large,
                    ended=float(n) if n <= ENDED else None,
                )
                for n in range(1, count + 1)
            ]
            for start in range(0, count, 500):
                some = rows[start : start + 500]
                connection.execute(jobs.insert(), [row.values() for row in some])
                connection.execute(
                    job_tags.insert(), [{"job": row.id, "tag": row.tags[0]} for row in some]
                )
                connection.execute(
                    job_parties.insert(),
                    [{"job": row.id, "party": p} for row in some for p in ("alpha", "beta")],
                )
                connection.execute(
                    tasks.insert(),
                    [task(row, step, state="success").values() for row in some for step in "ab"],
                )

        database.write(fill)
        yield database


def milliseconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the median of nine runs."""
    times = []
    for _ in range(9):
        start = clock()
        work()
        times.append(1000 * (clock() - start))
    return round(numbers.median(times), 2)


def test_listing_is_quick(history: Database) -> None:
    """The first page, a page in the middle and filtered ones; the bound is the platform's."""
    repository = Jobs(history)
    page = repository.list(limit=100)
    for _ in range(30):
        page = repository.list(limit=100, after=page.next)
    lists = {
        "first page": lambda: repository.list(limit=100),
        "page 31": lambda: repository.list(limit=100, after=page.next),
        "by state": lambda: repository.list(limit=100, states=["waiting"]),
        "by tag": lambda: repository.list(limit=100, tag="tag 3"),
        "by party": lambda: repository.list(limit=100, party="beta"),
        "rare name": lambda: repository.list(limit=100, name="job 77"),
        "of no party": lambda: repository.list(limit=100, party="gamma"),
        "counts": lambda: repository.counts(),
    }
    print({name: milliseconds(work, time.perf_counter) for name, work in lists.items()})
    assert len(repository.list(limit=100, after=page.next)) == 100
    # Processor time: what other tests do beside us is not our subject.
    spent = {name: milliseconds(work, time.thread_time) for name, work in lists.items()}
    assert {name: value for name, value in spent.items() if value > 25} == {}


def test_a_page_comes_from_an_index(history: Database) -> None:
    """What makes it quick does not depend on how busy this machine is: no sorting, no scan."""
    statements: list[str] = []
    repository = Jobs(history)

    def plan(connection: Connection) -> list[str]:
        from sqlalchemy import event

        def note(conn: object, cursor: object, text: str, parameters: object, *_: object) -> None:
            statements.append(text)

        event.listen(connection, "before_cursor_execute", note)
        after = repository.list(limit=100, connection=connection).next
        repository.list(limit=100, after=after, connection=connection)
        repository.list(limit=100, after=after, states=["waiting"], connection=connection)
        event.remove(connection, "before_cursor_execute", note)
        steps = []
        for text in statements:
            count = text.count("?")
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", tuple("x" * count))
            steps += [str(row[-1]) for row in rows]
        return steps

    steps = history.read(plan)
    assert len(steps) >= 3
    assert all("USING INDEX" in step for step in steps)
    assert not any("TEMP B-TREE" in step for step in steps)


def test_walking_queued_jobs_needs_one_page_of_memory(history: Database) -> None:
    repository = Jobs(history)
    list(repository.list(limit=200))
    tracemalloc.start()
    try:
        assert sum(1 for _ in repository.machines(["waiting"])) == QUEUED
        machines = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        rows = every(lambda after: repository.list(limit=200, after=after))
        assert sum(1 for _ in rows) == ENDED + QUEUED
        listing = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print({"machines": machines, "listing": listing})
    # All machines together are 22 MB of JSON, all summaries 10 MB of objects.
    assert machines < 8 << 20
    assert listing < 4 << 20


def test_a_state_change_beside_them(history: Database) -> None:
    """A job's new state, a task and an event in one durable transaction."""
    repository, events, steps = Jobs(history), Events(history), Tasks(history)
    row = job(5)

    def change(connection: Connection) -> None:
        repository.update(row.id, {"state": "running", "machine": {}}, connection=connection)
        steps.save(task(row, "a"), connection=connection)
        events.append(row.id, 1.0, "state", connection=connection)

    print({"state change": milliseconds(lambda: history.write(change), time.perf_counter)})
    assert events.last(row.id) == 9
