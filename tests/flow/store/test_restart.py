"""What a node asks its database when it starts after one that was killed."""

from __future__ import annotations

from atoll.flow.store import Database, Jobs, TaskRow, Tasks
from tests.flow.store.samples import job


def test_what_ran_is_lost_once(database: Database) -> None:
    Jobs(database).create(job(1))
    tasks = Tasks(database)
    states = {"read": "success", "match": "running", "sum": "waiting"}
    for step, state in states.items():
        tasks.save(TaskRow(job=job(1).id, step=step, attempt=1, state=state, started=1.0))
    assert set(tasks.open()) == {(job(1).id, step, 1) for step in ("match", "sum")}
    assert tasks.lose(9.0, "ATL-FLW-011") == 2
    assert tasks.lose(10.0, "ATL-FLW-011") == 0
    assert tasks.open() == []
    (lost,) = tasks.list(job(1).id, step="match")
    assert (lost.state, lost.code, lost.ended) == ("lost", "ATL-FLW-011", 9.0)


def test_jobs_that_ended_last(database: Database) -> None:
    jobs = Jobs(database)
    assert jobs.ended_last(60.0, 2000.0) == []
    for number, ended in ((1, 1000.0), (2, 1950.0), (3, 2000.0), (4, None)):
        jobs.create(job(number))
        changes = {"machine": {"number": number}, "ended": ended}
        jobs.update(job(number).id, changes)
    for now in (2000.0, 9000.0):
        found = jobs.ended_last(60.0, now)
        assert [machine["number"] for _, machine in found] == [3, 2]
    assert len(jobs.ended_last(60.0, 2000.0, most=1)) == 1


def test_a_job_that_ended_while_the_clock_was_wrong_hides_no_other(database: Database) -> None:
    jobs = Jobs(database)
    for number, ended in ((1, 1000.0), (2, 1990.0), (3, 5600.0)):
        jobs.create(job(number))
        jobs.update(job(number).id, {"machine": {"number": number}, "ended": ended})
    found = jobs.ended_last(60.0, 2000.0)
    assert [machine["number"] for _, machine in found] == [3, 2]


def test_jobs_with_a_party_that_ended_lately(database: Database) -> None:
    jobs = Jobs(database)
    for number, ended in ((1, 1000.0), (2, 1990.0), (3, None)):
        jobs.create(job(number), ("alpha", "beta"))
        jobs.update(job(number).id, {"ended": ended})
    assert list(jobs.ended_with("beta", 1500.0)) == [job(2).id]
    assert list(jobs.ended_with("stranger", 1500.0)) == []
