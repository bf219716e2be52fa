"""What must hold after every drill, whatever was done to the nodes."""

from __future__ import annotations

import hashlib
import itertools
import socket
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import select

from atoll.flow.access.audit import AuditLog
from atoll.flow.node.folder import NodeFolder
from atoll.flow.policy.ledger import DatabaseLedger
from atoll.flow.store import Database, schema
from atoll.flow.store.files import ArtifactFiles
from atoll.sdk import Client
from tests.e2e.nodes import TestNode, until

PEER_LOST = "ATL-FLW-008"
ENDED = ("success", "failed", "cancelled", "refused")
DONE = ("success", "reused")
ORPHAN_SECONDS = 30.0
JOB_SECONDS = 90.0


def wait_ended(node: TestNode, job: str, seconds: float = JOB_SECONDS) -> Any:
    """Wait until a job has ended at a node, and return its view."""
    with node.client() as client:
        view = until(lambda: _ended(client, job), seconds)
    return view


def _ended(client: Client, job: str) -> Any:
    view = client.jobs.get(job).view
    return view if view.state in ENDED else None


def same_end(
    made: dict[str, TestNode],
    job: str,
    seconds: float = JOB_SECONDS,
    lost: Collection[str] = (PEER_LOST,),
) -> tuple[str, str]:
    """Wait for the end at all parties; all tell the same, or one lost its partner."""
    ends = {}
    for party, node in made.items():
        view = wait_ended(node, job, seconds)
        ends[party] = (view.state, view.code or "")
    if len(set(ends.values())) > 1:
        assert any(code in lost for _, code in ends.values()), ends
    state, code = next(iter(ends.values()))
    assert (state == "success") == (code == ""), ends
    return state, code


def check(
    made: dict[str, TestNode],
    *jobs: str,
    success: bool = True,
    lost: Collection[str] = (PEER_LOST,),
) -> None:
    """Check these ended jobs, and all else that must hold, at every node."""
    for job in jobs:
        state, code = same_end(made, job, lost=lost)
        if success:
            assert state == "success", f"{job} ended as {state} {code}"
    for node in made.values():
        check_store(node, jobs)
    for job in jobs:
        check_once(made, job)
    for node in made.values():
        no_orphans(node, jobs)


def stored(node: TestNode) -> Database:
    """Open what a node has written, wherever that is."""
    return Database.open_reading(
        node.settings.get("database.url", f"sqlite:///{node.folder.database}")
    )


def check_once(made: dict[str, TestNode], job: str) -> None:
    """Check that no step succeeded at all parties in more than one attempt."""
    done: Counter[tuple[str, int]] = Counter()
    for node in made.values():
        with stored(node) as database:
            rows = _rows(database, schema.tasks, job)
        done.update((row.step, row.attempt) for row in rows if row.state in DONE)
    everywhere = Counter(step for (step, _), count in done.items() if count == len(made))
    assert all(count == 1 for count in everywhere.values()), everywhere


def check_store(node: TestNode, jobs: Iterable[str]) -> None:
    """Check one node's database: nothing twice, nothing open, whole chains."""
    with stored(node) as database:
        assert AuditLog(database).verify() is None
        assert DatabaseLedger(database, node.party).verify() is None
        for job in jobs:
            _check_tasks(database, job, node.party)
            _check_artifacts(database, job, node.folder)


def _rows(database: Database, table: Any, job: str) -> Sequence[Any]:
    return database.read(lambda c: c.execute(select(table).where(table.c.job == job)).all())


def _check_tasks(database: Database, job: str, party: str) -> None:
    """No step has two attempts at a time, and no attempt has two executions."""
    steps = defaultdict(list)
    for row in _rows(database, schema.tasks, job):
        assert row.state not in ("running", "waiting"), f"{party}: {row.step} is left {row.state}"
        steps[row.step].append(row)
    for step, rows in steps.items():
        rows.sort(key=lambda row: row.attempt)
        for former, later in itertools.pairwise(rows):
            assert former.ended is not None
            assert former.ended <= later.started, f"{party}: attempts of {step} overlap"
    phases: Counter[tuple[str, int, str]] = Counter()
    for row in _rows(database, schema.events, job):
        if row.kind == "phase":
            phases[row.step, row.attempt, row.data] += 1
    twice = [phase for phase, count in phases.items() if count > 1]
    assert not twice, f"{party}: ran twice: {twice}"


def _check_artifacts(database: Database, job: str, folder: NodeFolder) -> None:
    """Outputs are recorded for the attempt that succeeded, and are what they are named."""
    files = ArtifactFiles(folder.artifacts)
    done = {
        (row.step, row.attempt) for row in _rows(database, schema.tasks, job) if row.state in DONE
    }
    for row in _rows(database, schema.artifacts, job):
        assert (row.step, row.attempt) in done, f"outputs of {row.step} {row.attempt}"
        assert hashlib.sha256(files.read(row.digest)).hexdigest() == row.digest


def orphans(node: TestNode, jobs: Iterable[str]) -> list[str]:
    """Return what a node left of ended jobs: workers, sockets, working files, locks."""
    folder, pid = node.folder, node.folder.running()
    found = [f"socket {path.name}" for path in stale_sockets(folder)]
    for worker in node.workers():
        parent = _parent(worker)
        if parent is not None and parent != pid:
            found.append(f"worker {worker} of {parent}")
    found += [f"outputs of {job}" for job in jobs if (folder.jobs / job / "outputs").exists()]
    found += [f"incoming {path}" for path in (folder.artifacts / "incoming").glob("*")]
    return found


def no_orphans(node: TestNode, jobs: Iterable[str]) -> None:
    """Check that in 30 seconds nothing of these ended jobs is left."""
    found = list[str]()

    def clear() -> bool:
        found[:] = orphans(node, jobs)
        return not found

    try:
        until(clear, ORPHAN_SECONDS)
    except AssertionError:
        raise AssertionError(f"left at {node.party} after 30 s: {found}") from None


def stale_sockets(folder: NodeFolder) -> list[Any]:
    """Return the sockets in a node's folder that nobody listens on."""
    stale = []
    for path in folder.sockets.iterdir() if folder.sockets.is_dir() else ():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                stale.append(path)
    return stale


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[1])


def nothing_runs(node: TestNode) -> None:
    """Check that of a node that is down nothing is left in 30 seconds."""

    def alive() -> list[int]:
        return [worker for worker in node.workers() if _parent(worker) is not None]

    until(lambda: not alive(), ORPHAN_SECONDS)
    assert node.folder.running() is None
