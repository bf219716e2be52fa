"""Workers that are threads: tasks as in a process, as many as allowed, none after the close."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from atoll.components.api import Component, Result, Task
from atoll.components.reader import READER
from atoll.core.errors import AtollError
from atoll.flow.planning import COIN_STEP
from atoll.flow.work.specification import TaskSpec
from atoll.flow.work.threads import Threads
from tests.flow.work import little
from tests.flow.work.test_pool import Ear


def spec(folder: Path) -> TaskSpec:
    """Return what the bank's worker is told of the step in which nobody talks."""
    places = little.nodes(folder, little.small_tables())
    job = little.small_job()
    toss = {party: at.spec(job, COIN_STEP, little.SMALL) for party, at in places.items()}
    for party, result in little.play(toss, little.SMALL).check().results.items():
        places[party].results[COIN_STEP] = result
    return places["bank"].spec(job, "reader", little.SMALL)


def running(run: Any) -> dict[str, Component]:
    return {"reader": replace(READER, run=run)}


def test_a_task_runs_and_its_worker_takes_the_next_of_its_job(tmp_path: Path) -> None:
    reported = spec(tmp_path)
    with Threads(lambda: little.SMALL) as pool:
        worker, ear = pool.lease(little.JOB_ID), Ear()
        worker.submit(reported, ear)
        done = ear.end()
        assert (done.kind, done.step) == ("done", "reader")
        assert (tmp_path / "bank" / "outputs" / done.data["outputs"]["table"]["digest"]).exists()
        assert pool.lease(little.JOB_ID) is worker
        assert [fact.state for fact in pool.facts()] == ["leased"]
        pool.release_job(little.JOB_ID)
        assert pool.facts() == []


def test_no_more_than_allowed_and_none_after_the_close() -> None:
    pool = Threads(dict, most=1)
    pool.lease("one")
    assert pool.free() == 0
    with pytest.raises(AtollError, match="ATL-WRK-002"):
        pool.lease("other")
    pool.release_job("one")
    pool.close()
    with pytest.raises(AtollError, match="ATL-WRK-002"):
        pool.lease("other")


def test_a_worker_of_another_job_is_refused(tmp_path: Path) -> None:
    with Threads(lambda: little.SMALL) as pool, pytest.raises(AtollError, match="ATL-WRK-004"):
        pool.lease("another").submit(spec(tmp_path), Ear())


def test_a_task_that_is_cancelled_or_killed_is_told_once(tmp_path: Path) -> None:
    started = Event()

    def wait(task: Task, parameters: Any) -> Result:
        started.set()
        while True:
            task.party.cancel.check()
            Event().wait(0.01)

    reported = spec(tmp_path)
    with Threads(lambda: running(wait)) as pool:
        for end in ("cancel", "kill", "release"):
            worker, ear = pool.lease(little.JOB_ID), Ear()
            started.clear()
            worker.submit(reported, ear)
            assert started.wait(30)
            getattr(worker, end)()
            failed = ear.end()
            assert (failed.kind, failed.data["error"]["code"]) == ("failed", "ATL-JOB-001")
            assert pool.facts() == []
