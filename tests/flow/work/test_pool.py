"""Real worker processes: leases, ends of every kind, and nobody left behind."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atoll.core.errors import AtollError
from atoll.flow.work.handle import Worker
from atoll.flow.work.pool import Pool, PoolSettings
from atoll.flow.work.specification import TaskSpec
from atoll.flow.work.task_events import TaskEvent
from atoll.jobs.definition import parse_job
from tests.flow.work import little

ROOT = Path(__file__).parents[3]
OTHER_JOB = "20260102030405-ffffffff"
PATIENCE = 60.0


class Ear:
    """Collects events; waiting ends with the task."""

    def __init__(self) -> None:
        self.all: list[TaskEvent] = []
        self._queue: queue.SimpleQueue[TaskEvent] = queue.SimpleQueue()

    def __call__(self, event: TaskEvent) -> None:
        self.all.append(event)
        self._queue.put(event)

    def wait(self, *kinds: str) -> TaskEvent:
        while True:
            event = self._queue.get(timeout=PATIENCE)
            if event.kind in kinds:
                return event
            assert not event.terminal, event

    def end(self) -> TaskEvent:
        return self.wait("done", "failed", "lost")


def settings(folder: Path, **changes: Any) -> PoolSettings:
    chosen = PoolSettings(
        folder,
        most=3,
        arguments=("-m", "tests.flow.work.worker_main"),
        environment={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
    )
    return replace(chosen, **changes)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with Pool(settings(tmp_path_factory.mktemp("pool"))) as pool:
        yield pool


def spec(folder: Path, act: str, *, job_id: str = little.JOB_ID, **changes: Any) -> TaskSpec:
    (folder / "outputs").mkdir(exist_ok=True)
    seed = folder / "seed"
    seed.write_bytes(bytes(32))
    parameters = {"act": act, "path": str(folder / "path")}
    job = parse_job(
        {
            "name": "act",
            "parties": {"bank": "guest", "shop": "host"},
            "steps": {"act": {"component": "act", "parameters": parameters}},
        }
    )
    whole: dict[str, Any] = {
        "job_id": job_id,
        # Whoever sits alone needs no gateway.
        "seats": ("bank:guest",),
        "job": job,
        "step": "act",
        "attempt": 0,
        "party": "bank",
        "plan_digest": little.PLAN,
        "component": "act",
        "parameters": parameters,
        "seed_path": seed,
        "outputs_folder": folder / "outputs",
    }
    return TaskSpec.model_validate({**whole, **changes})


def begin(pool: Pool, folder: Path, act: str, job_id: str = little.JOB_ID) -> tuple[Worker, Ear]:
    worker, ear = pool.lease(job_id), Ear()
    worker.submit(spec(folder, act, job_id=job_id), ear)
    return worker, ear


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def warm(pool: Pool) -> list[int]:
    return [facts.pid for facts in pool.facts() if facts.state == "warm"]


@pytest.fixture(autouse=True)
def _release(shared: Pool) -> Iterator[None]:
    yield
    for job in (little.JOB_ID, OTHER_JOB):
        shared.release_job(job)
    until(lambda: shared.free() == 3)


def test_a_worker_serves_one_job_step_after_step(shared: Pool, tmp_path: Path) -> None:
    until(lambda: bool(warm(shared)))
    first = warm(shared)
    worker, ear = begin(shared, tmp_path, "remember")
    result = ear.end().data
    assert worker.pid in first
    assert result["outputs"]["thing"]["kind"] == "act.thing"
    assert (tmp_path / "outputs" / result["outputs"]["thing"]["digest"]).is_file()
    assert {"seconds", "cpu_seconds", "peak_memory", "traffic", "reveals"} <= result.keys()
    assert shared.lease(little.JOB_ID) is worker
    other = shared.lease(OTHER_JOB)
    assert other is not worker
    worker.submit(spec(tmp_path, "remember"), ear)
    assert ear.end().kind == "done"
    assert [event.kind for event in ear.all if event.kind == "phase"]


def test_a_killed_worker_is_reported_lost_at_once(shared: Pool, tmp_path: Path) -> None:
    worker, ear = begin(shared, tmp_path, "wait")
    ear.wait("progress")
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    started = time.monotonic()
    lost = ear.end()
    assert time.monotonic() - started < 2
    assert (lost.kind, lost.state) == ("lost", "lost")
    assert lost.data["error"]["code"] == "ATL-WRK-001"
    assert "signal 9" in lost.data["error"]["message"]
    assert worker.state == "gone"
    assert shared.lease(little.JOB_ID) is not worker


def test_a_task_for_a_worker_that_is_gone_is_lost(shared: Pool, tmp_path: Path) -> None:
    worker = shared.lease(little.JOB_ID)
    worker.kill()
    ear = Ear()
    worker.submit(spec(tmp_path, "remember"), ear)
    assert ear.end().kind == "lost"


def test_a_task_that_hears_is_cancelled(shared: Pool, tmp_path: Path) -> None:
    worker, ear = begin(shared, tmp_path, "wait")
    ear.wait("progress")
    worker.cancel()
    event = ear.end()
    assert (event.kind, event.state) == ("failed", "cancelled")
    assert event.data["error"]["phase"] == "act"
    assert event.data["cpu_seconds"] >= 0
    assert not list((tmp_path / "outputs").iterdir())


def test_a_task_that_is_deaf_is_killed_after_the_grace(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "path")
    with Pool(settings(tmp_path, grace_seconds=0.3, warm=0)) as pool:
        worker, ear = begin(pool, tmp_path, "hang")
        ear.wait("progress")
        pid = worker.pid
        worker.cancel()
        event = ear.end()
        assert (event.kind, event.state) == ("failed", "cancelled")
        assert event.data["error"]["code"] == "ATL-JOB-001"
        assert pid is not None
        assert gone(pid)


@pytest.mark.parametrize("act", ["wait", "hang"])
def test_a_worker_that_is_terminated_says_so_before_it_ends(
    shared: Pool, tmp_path: Path, act: str
) -> None:
    os.mkfifo(tmp_path / "path")
    worker, ear = begin(shared, tmp_path, act)
    ear.wait("progress")
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGTERM)
    event = ear.end()
    assert (event.kind, event.state) == ("failed", "cancelled")
    assert event.data["error"]["code"] == "ATL-JOB-001"


def test_a_worker_that_dies_by_itself_is_lost_and_its_children_die(
    shared: Pool, tmp_path: Path
) -> None:
    worker, ear = begin(shared, tmp_path, "leave a child")
    assert ear.end().kind == "done"
    child = int((tmp_path / "path").read_text())
    assert not gone(child)
    worker.release()
    until(lambda: gone(child))
    _, ear = begin(shared, tmp_path, "die")
    assert ear.end().kind == "lost"


def by_task(event: TaskEvent) -> bool:
    return event.kind == "log" and event.data["logger"] != "atoll.task"


def test_what_is_printed_or_logged_is_told_and_disturbs_nothing(
    shared: Pool, tmp_path: Path
) -> None:
    _, ear = begin(shared, tmp_path, "talk")
    assert ear.end().kind == "done"
    logs = {(e.data["level"], e.data["message"]) for e in ear.all if by_task(e)}
    assert {message for _, message in logs} == {"printed", "complained", "logged 7"}


def test_a_failure_has_a_code_and_no_data_and_ends_the_process(
    shared: Pool, tmp_path: Path
) -> None:
    worker, ear = begin(shared, tmp_path, "fail")
    event = ear.end()
    assert (event.kind, event.state) == ("failed", "failed")
    assert event.data["error"]["code"] == "ATL-INT-001"
    assert "secret" not in str(event.data)
    until(lambda: worker.state == "gone")


def test_progress_is_thinned(shared: Pool, tmp_path: Path) -> None:
    _, ear = begin(shared, tmp_path, "flood")
    assert ear.end().kind == "done"
    assert sum(event.kind == "progress" for event in ear.all) < 500


def test_events_of_another_attempt_are_dropped(shared: Pool, tmp_path: Path) -> None:
    worker, ear = begin(shared, tmp_path, "wait")
    ear.wait("progress")
    for task in ([little.JOB_ID, "act", 1], [OTHER_JOB, "act", 0], [little.JOB_ID, "acts", 0]):
        stale = {"event": "done", "task": task, "outputs": {}}
        assert shared._understood(worker, stale) is None
    assert shared._understood(worker, {"event": "invented", "task": None}) is None
    assert worker.state == "busy"
    worker.cancel()
    assert ear.end().state == "cancelled"


def test_there_are_no_more_leases_than_allowed(shared: Pool, tmp_path: Path) -> None:
    leased = [shared.lease(little.JOB_ID) for _ in range(3)]
    assert len({worker.number for worker in leased}) == 3
    assert shared.free() == 0
    with pytest.raises(AtollError) as caught:
        shared.lease(OTHER_JOB)
    assert caught.value.code == "ATL-WRK-002"
    with pytest.raises(AtollError) as caught:
        leased[0].submit(spec(tmp_path, "wait", job_id=OTHER_JOB), Ear())
    assert caught.value.code == "ATL-WRK-004"


def idle(pool: Pool, folder: Path, count: int) -> list[Worker]:
    """Return workers of a job that did a task each and wait for the next."""
    workers = [pool.lease(little.JOB_ID) for _ in range(count)]
    for worker in workers:
        ear = Ear()
        worker.submit(spec(folder, "remember"), ear)
        assert ear.end().kind == "done"
    return workers


def test_an_idle_worker_of_a_job_that_waits_is_taken_back_for_another(
    shared: Pool, tmp_path: Path
) -> None:
    """The lie: a job keeps all workers after its steps, and waits for an approval without end."""
    waiting = idle(shared, tmp_path, 3)
    assert shared.free() == 3
    _, ear = begin(shared, tmp_path, "remember", OTHER_JOB)
    assert ear.end().kind == "done"
    until(lambda: sum(worker.gone for worker in waiting) == 1)
    busy = [shared.lease(little.JOB_ID) for _ in range(2)]
    assert {worker.number for worker in busy} < {worker.number for worker in waiting}
    shared.lease(OTHER_JOB)
    with pytest.raises(AtollError, match="ATL-WRK-002"):
        shared.lease(OTHER_JOB)


def test_the_idle_workers_of_a_job_are_released_and_no_others(shared: Pool, tmp_path: Path) -> None:
    waiting = idle(shared, tmp_path, 2)
    busy = shared.lease(little.JOB_ID)
    assert busy is waiting[0]
    shared.release_job(little.JOB_ID, idle=True)
    until(lambda: waiting[1].gone)
    ear = Ear()
    busy.submit(spec(tmp_path, "remember"), ear)
    assert ear.end().kind == "done"


def test_a_specification_that_is_none_fails_the_task(shared: Pool, tmp_path: Path) -> None:
    worker, ear = shared.lease(little.JOB_ID), Ear()
    reported = spec(tmp_path, "remember")
    broken = reported.model_copy(update={"attempt": -1})
    worker.submit(broken, ear)
    event = ear.end()
    assert event.data["error"]["code"] == "ATL-WRK-003"
    assert event.data["error"]["place"] == "attempt"


def test_closing_leaves_no_process(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "path")
    pool = Pool(settings(tmp_path, warm=2))
    worker, ear = begin(pool, tmp_path, "hang")
    ear.wait("progress")
    until(lambda: len(pool.facts()) == 3)
    pids = [facts.pid for facts in pool.facts()]
    server = pool.starter.server
    assert server is not None
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 10
    assert all(gone(pid) for pid in (*pids, server))
    assert ear.end().kind == "lost"
    assert worker.state == "gone"
    pool.close()
    with pytest.raises(AtollError):
        pool.lease(little.JOB_ID)


def alone(*arguments: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "atoll.flow.work", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
    )


def test_a_worker_ends_with_its_input(tmp_path: Path) -> None:
    with alone(folder=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert b'"ready"' in process.stdout.readline()
        started = time.monotonic()
        process.stdin.close()
        assert process.wait(5) == 0
        assert time.monotonic() - started < 1


def test_a_worker_ends_on_a_signal(tmp_path: Path) -> None:
    with alone(folder=tmp_path) as process:
        assert process.stdout is not None
        assert b'"ready"' in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 128 + signal.SIGTERM


def test_a_worker_of_a_parent_that_is_gone_does_not_start(tmp_path: Path) -> None:
    with alone("--parent=1", folder=tmp_path) as process:
        assert process.wait(PATIENCE) == 1


def test_workers_die_with_their_node(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from tests.flow.work.test_pool import settings, warm\n"
        "from atoll.flow.work.pool import Pool\n"
        "pool = Pool(settings(Path(sys.argv[1]), warm=2))\n"
        "while len(warm(pool)) < 2: time.sleep(0.02)\n"
        "print(*warm(pool), flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    ) as node:
        assert node.stdout is not None
        pids = [int(word) for word in node.stdout.readline().split()]
        assert len(pids) == 2
        node.kill()
        started = time.monotonic()
        until(lambda: all(gone(pid) for pid in pids))
        assert time.monotonic() - started < 1


def test_a_warm_worker_is_small(shared: Pool) -> None:
    until(lambda: bool(warm(shared)))
    found = next(facts for facts in shared.facts() if facts.state == "warm")
    assert found.memory < 120 << 20


def test_a_pool_that_cannot_start_workers_waits_and_tells(tmp_path: Path) -> None:
    with Pool(settings(tmp_path, arguments=("-c", "raise SystemExit(3)"))) as pool:
        ear = Ear()
        pool.lease(little.JOB_ID).submit(spec(tmp_path, "remember"), ear)
        lost = ear.end()
        assert lost.kind == "lost"
        assert "exit code 3" in lost.data["error"]["message"]
    with Pool(settings(tmp_path, python=str(tmp_path / "none"))) as pool:
        ear = Ear()
        pool.lease(little.JOB_ID).submit(spec(tmp_path, "remember"), ear)
        assert ear.end().kind == "lost"
