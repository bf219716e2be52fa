"""The job system on two real nodes of one machine: a job's way, idle cost, long queues, lists.

``flow.start`` is `atoll up` until the API answers. ``flow.job`` is a job of reader, psi and
statistics from the HTTP request until the client sees its success, with warm workers; nothing is
reused. ``flow.idle_cpu`` is processor time of an idle node in parts of a core, ``flow.node_memory``
and ``flow.worker_memory`` are what the system counts as resident. ``flow.queue`` submits many jobs
that wait and lets the first of them end; ``flow.drain`` goes on to the next 400 of the same queue.
``flow.list`` asks for a page of 100 out of 10,000 jobs. ``flow.standing`` asks for scores of one
row and of 300 under a standing agreement.
``--rows`` sets the jobs of ``flow.queue``. Each line reports the machine's load beside it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from atoll.flow.store import Database, JobRow, Jobs
from atoll.jobs.definition import Job
from atoll.sdk import Client
from bench import standing
from bench.harness import Options
from bench.nodes import (
    GUEST,
    HOST,
    BenchNode,
    both,
    cpu_seconds,
    family_seconds,
    fill,
    load,
    memory,
    pair,
    reset_peak,
    three_steps,
)

ROWS = 569
RUNS = 7
STARTS = 3
IDLE_SECONDS = 20.0
QUEUED, DRAINED = 1000, 100
# Long enough that one start of many workers at once, or one pause, hides nothing.
LONG = 400
LISTED, KNOWN, LISTS = 100, 10_000, 30
_PATIENCE = 120.0
# Rarely, for to answer costs a node processor time, too.
_POLL_SECONDS = 0.25


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the measurements; ``--rows`` sets how many jobs are queued."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with pair(folder) as made:
            _settled(made)
            fresh = {party: memory(node.pid) for party, node in made.items()}
            fill(made, folder, ROWS)
            yield from _jobs(made)
            yield from _idle(made, fresh)
            yield from _starts(made)
            yield from _queue(made, options.rows or QUEUED)
            both(made, BenchNode.stop)
            yield _list(made[GUEST])
    # With nodes of their own: what they keep open weighs on no other line.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with pair(folder) as made:
            fill(made, folder, ROWS)
            yield from standing.measure(made, ROWS)


def _line(name: str, params: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": f"flow.{name}", "params": dict(params), **more, "load": load()}


def _until(check: Callable[[], Any], seconds: float = _PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not come to that in time")
        time.sleep(_POLL_SECONDS)


def _settled(made: Mapping[str, BenchNode]) -> None:
    """Wait until each node has its warm worker, and nothing else."""
    for node in made.values():
        with node.client() as client:
            _until(partial(_all_warm, client))


def _all_warm(client: Client) -> bool:
    found = client.node.status()["workers"]
    return bool(found) and all(worker["state"] == "warm" for worker in found)


# -- a job --------------------------------------------------------------------------------------


def _jobs(made: Mapping[str, BenchNode]) -> Iterator[dict[str, Any]]:
    taken, spent = [], []
    with made[GUEST].client() as client:
        for number in range(RUNS):
            _settled(made)
            before = _all_cpu(made)
            start = time.perf_counter()
            job = client.jobs.submit(three_steps(f"job-{number}"), options={"reuse": False})
            job.wait(_PATIENCE).check()
            taken.append(time.perf_counter() - start)
            # Workers that have ended by now are missing, so only the nodes count.
            spent.append(_all_cpu(made) - before)
    yield _line(
        "job",
        {"rows": ROWS, "runs": RUNS, "steps": 3, "least": min(taken), "most": max(taken)},
        seconds=statistics.median(taken),
        node_cpu_seconds=statistics.median(spent),
    )


def _all_cpu(made: Mapping[str, BenchNode]) -> float:
    return sum(cpu_seconds(node.pid) for node in made.values())


# -- what idle nodes cost -----------------------------------------------------------------------


def _idle(made: Mapping[str, BenchNode], fresh: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    _settled(made)
    # The end of a job is sent to peers, and forgotten, after a while.
    time.sleep(3.0)
    before = {party: cpu_seconds(node.pid) for party, node in made.items()}
    start = time.perf_counter()
    time.sleep(IDLE_SECONDS)
    seconds = time.perf_counter() - start
    share = {p: (cpu_seconds(n.pid) - before[p]) / seconds for p, n in made.items()}
    yield _line("idle_cpu", {"partners": 1}, seconds=seconds, rate=max(share.values()), parts=share)
    used = {party: memory(node.pid) for party, node in made.items()}
    yield _line("node_memory", {"after_jobs": 0}, peak_memory=dict(fresh))
    yield _line("node_memory", {"after_jobs": RUNS}, peak_memory=used)
    workers = {}
    for party, node in made.items():
        with node.client() as client:
            workers[party] = max(w["memory"] for w in client.node.status()["workers"])
    yield _line("worker_memory", {"state": "warm"}, peak_memory=workers)


def _starts(made: Mapping[str, BenchNode]) -> Iterator[dict[str, Any]]:
    taken = []
    for _ in range(STARTS):
        made[HOST].stop()
        start = time.perf_counter()
        made[HOST].start()
        taken.append(time.perf_counter() - start)
    params = {"runs": STARTS, "least": min(taken)}
    yield _line("start", params, seconds=statistics.median(taken))


# -- long queues --------------------------------------------------------------------------------


def _queue(made: Mapping[str, BenchNode], count: int) -> Iterator[dict[str, Any]]:
    both(made, BenchNode.stop)
    both(made, BenchNode.start)
    _settled(made)
    for node in made.values():
        reset_peak(node.pid)
    before = {party: memory(node.pid) for party, node in made.items()}
    with made[GUEST].client() as client:
        start = time.perf_counter()
        spent = _all_cpu(made)
        jobs = [_submit(client, number) for number in range(count)]
        seconds = time.perf_counter() - start
        yield _line(
            "queue_submit",
            {"jobs": count, "memory_before": before},
            seconds=seconds,
            node_cpu_seconds=_all_cpu(made) - spent,
            rate=count / seconds,
            peak_memory={party: memory(node.pid, "VmHWM") for party, node in made.items()},
        )
        first = _drained(made, client, count, min(DRAINED, count))
        yield _line("queue", first.params, **first.figures)
        if _ended(client) < count:
            rest = _drained(made, client, count, LONG)
            yield _line("drain", rest.params, **rest.figures)
    del jobs


@dataclass(frozen=True)
class _Drained:
    """What a part of the queue took."""

    params: Mapping[str, Any]
    figures: Mapping[str, Any]


def _drained(made: Mapping[str, BenchNode], client: Client, count: int, wanted: int) -> _Drained:
    """Wait until so many more of the queued jobs have ended."""
    done, spent, whole = _ended(client), _all_cpu(made), _everything(made)
    start = time.perf_counter()
    _until(lambda: _ended(client) >= min(done + wanted, count), 10 * _PATIENCE)
    ended, seconds = _ended(client) - done, time.perf_counter() - start
    whole = _everything(made) - whole
    params = {
        "jobs": count,
        "ended_before": done,
        "ended": ended,
        "jobs_a_minute": 60 * ended / seconds,
        "cpu_seconds_a_job": whole / max(ended, 1),
    }
    figures = {
        "seconds": seconds,
        "cpu_seconds": whole,
        "node_cpu_seconds": _all_cpu(made) - spent,
        "rate": ended / seconds,
        "peak_memory": {party: memory(node.pid, "VmHWM") for party, node in made.items()},
    }
    return _Drained(params, figures)


def _everything(made: Mapping[str, BenchNode]) -> float:
    """Return the processor time of the nodes and of all processes that they had, ended ones too."""
    return sum(family_seconds(node.pid) for node in made.values())


def _submit(client: Client, number: int) -> str:
    job: Job = three_steps(f"queued-{number}")
    return client.jobs.submit(job, options={"reuse": False}, tags=["queue"]).id


def _ended(client: Client) -> int:
    counts = client.node.status()["jobs"]
    return sum(counts.get(state, 0) for state in ("success", "failed", "cancelled", "refused"))


# -- lists --------------------------------------------------------------------------------------


def _list(node: BenchNode) -> dict[str, Any]:
    with closing(Database.open(f"sqlite:///{node.folder.database}")) as database:
        _write_history(database)
    node.start()
    _settled({GUEST: node})
    taken = []
    with node.client() as client:
        for _ in range(LISTS):
            start = time.perf_counter()
            page = client.jobs.list(limit=LISTED)
            taken.append(time.perf_counter() - start)
    params = {"jobs": len(page.items), "of": KNOWN, "runs": LISTS, "least": min(taken)}
    return _line("list", params, seconds=statistics.median(taken))


def _write_history(database: Database) -> None:
    """Put as many ended jobs into the database as a busy node has after a few weeks."""
    jobs, job = Jobs(database), three_steps("old").canonical()
    begin = time.time() - 30 * 86400

    def write(connection: Any) -> None:
        for number in range(KNOWN):
            at = begin + number
            row = JobRow(
                id=f"20250101{number:06d}-{number:08x}",
                name=f"old-{number}",
                initiator=GUEST,
                role="guest",
                state="success",
                created=at,
                updated=at,
                started=at,
                ended=at + 1,
                tags=["history"],
                job=job,
            )
            jobs.create(row, [GUEST, HOST], connection=connection)

    database.write(write)
