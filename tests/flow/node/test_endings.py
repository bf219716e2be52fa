"""Whoever is shown that a job has ended finds what follows its end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.flow.control import KillTask, Moment, TaskReported
from atoll.flow.node.jobs.effects import NodeEffects
from atoll.flow.node.jobs.endings import Endings
from atoll.flow.work.task_events import TaskEvent
from atoll.sdk import Pipeline, local

ROWS = 120


def test_nothing_is_waited_for_but_the_job_asked_for() -> None:
    endings = Endings()
    endings.begin("other")
    endings.wait("job", 60.0)
    endings.begin("job")
    endings.done("job")
    endings.wait("job", 60.0)


def test_a_wait_has_an_end() -> None:
    endings = Endings()
    endings.begin("job")
    endings.wait("job", 0.01)
    endings.close()
    endings.wait("job", 60.0)


def test_who_sees_a_job_succeed_finds_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    ids = [f"r{at}" for at in range(ROWS)]
    y = (rng.random(ROWS) > 0.5).astype(float)
    tables = {
        "bank": {"people": pa.table({"id": ids, "b": rng.random(ROWS), "y": y})},
        "shop": {"people": pa.table({"id": ids, "s": rng.random(ROWS)})},
    }
    p = Pipeline("held-up", guest="bank", host=["shop"])
    rows = p.psi(p.reader(tables={"bank": "people", "shop": "people"}))
    p.boosting(train=rows, trees=1)
    held: SimpleQueue[str] = SimpleQueue()
    go = Event()
    with local({"bank": "guest", "shop": "host"}, tables) as federation:
        bank = federation._opened()["bank"]
        register = bank.models.record

        def slow(job: str) -> object:
            held.put(job)
            assert go.wait(60.0)
            return register(job)

        monkeypatch.setattr(bank.models, "record", slow)
        with ThreadPoolExecutor(2) as pool:
            running = pool.submit(federation.run, p)
            try:
                job = held.get(timeout=60.0)
                shown = pool.submit(bank.services.jobs.get, job)
                with pytest.raises(TimeoutError):
                    shown.result(0.1)
            finally:
                go.set()
            assert shown.result(60.0)["state"] == "success"
            assert bank.services.models.get(f"{job}.boosting", 1)["job"] == job
            running.result(60.0)


def test_a_stop_that_comes_too_late_is_answered_after_what_the_task_said() -> None:
    """So the job cannot end, and free what it reserved, before what left has been charged."""
    happened: list[str] = []
    charging, go = Event(), Event()

    def charge(*about: object) -> None:
        charging.set()
        assert go.wait(60.0)
        happened.append("charged")

    def report(job: str, make: Callable[[Moment], TaskReported], write: object = None) -> None:
        happened.append(make(Moment(0.0, 0.0)).state)

    any_of: Any = SimpleNamespace
    decider = any_of(
        charge=charge, revealed=lambda data: True, needs_no_approval=lambda record: False
    )
    effects = NodeEffects(
        any_of(), any_of(), any_of(), any_of(), decider, any_of(), wake=lambda peers: None
    )
    effects.attach(
        any_of(event=report, peek=lambda job: None),
        any_of(adopt=lambda event: None, kill=lambda job, step, attempt: False),
    )
    effects.on_event(TaskEvent("done", "job", "match", 1))
    assert charging.wait(5.0)
    effects.carry_out(any_of(id="job"), KillTask("match", 1))
    assert happened == []
    go.set()
    effects.close()
    assert happened == ["charged", "success", "cancelled"]
