"""What is kept and for how long: old jobs, their artifacts, files that nothing names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select

from atoll.flow.store import agreements, schema
from atoll.flow.store.artifacts import Artifacts
from atoll.flow.store.database import Database
from atoll.flow.store.files import ArtifactFiles, Pruned
from atoll.flow.store.statements import to_json
from atoll.jobs.states import ENDED

_J = schema.jobs
_A = schema.artifacts
_BATCH = 50
_PAGES = 1000
DAY = 86_400.0
LOGS = "logs"


@dataclass(frozen=True)
class Retention:
    """A policy: None means without a bound.

    ``job_days``: how long an ended job is kept; ``jobs``: how many ended jobs are kept at most,
    the newest; ``artifact_days``: how long the outputs of an ended job are kept; ``log_days``: how
    long the log of a step's attempt is kept after its last line;
    ``partner_bytes``: so much of the ended jobs that one partner proposed is kept in full, the
    newest; of older ones what a list shows;
    jobs of which a model comes stay;
    a job of which a standing agreement holds stays whole, whatever the other rules are;
    ``grace_seconds``: files younger than this are kept, since their row may not be written yet.
    """

    job_days: float | None = None
    jobs: int | None = None
    artifact_days: float | None = None
    log_days: float | None = None
    partner_bytes: int | None = None
    grace_seconds: float = 3600.0


@dataclass(frozen=True)
class PruneReport:
    """What was removed."""

    jobs: tuple[str, ...] = ()
    artifacts: int = 0
    logs: int = 0
    files: Pruned = field(default_factory=lambda: Pruned(0, 0))


def prune(
    database: Database,
    files: ArtifactFiles | None,
    policy: Retention,
    now: float,
    *,
    job_folders: Path | None = None,
) -> PruneReport:
    """Remove what the policy does not keep, a few jobs per transaction; jobs that run always stay.

    ``now`` is the wall time in seconds since 1970; below ``job_folders`` the folder of each removed
    job goes, too, and old logs. Errors: ATL-STO-002 to ATL-STO-005, ATL-STO-024.
    """
    removed: list[str] = []
    for condition in _old_jobs(database, policy, now):
        removed += _remove_jobs(database, condition, now)
    for job in removed:
        _remove_folder(job_folders, job)
    lightened = _lighten_partners(database, policy, now)
    logs = _remove_logs(job_folders, policy, now)
    artifacts = _remove_artifacts(database, policy, now)
    pruned = Pruned(0, 0)
    if files is not None:
        # The rows are read after what is young enough to lack one was fixed by ``before``.
        keep = Artifacts(database).reachable()
        pruned = files.prune(keep, now - policy.grace_seconds)
    if removed or artifacts or lightened:
        _release_pages(database)
    return PruneReport(tuple(removed), artifacts, logs, pruned)


def _old_jobs(database: Database, policy: Retention, now: float) -> Sequence[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if policy.job_days is not None:
        conditions.append(_J.c.ended < now - policy.job_days * DAY)
    if policy.jobs is not None:
        last = database.read(lambda c: c.execute(_newest(policy.jobs or 0)).one_or_none())
        if last is not None:
            older = and_(_J.c.created == last.created, _J.c.id <= last.id)
            conditions.append(or_(_J.c.created < last.created, older))
    return conditions


def _newest(count: int) -> Select[Any]:
    """Select the first job that is one too many."""
    query = select(_J.c.created, _J.c.id).where(_J.c.state.in_(ENDED))
    return query.order_by(_J.c.created.desc(), _J.c.id.desc()).offset(count).limit(1)


def _loose(now: float) -> ColumnElement[bool]:
    """Select jobs that have ended and of which no standing agreement holds.

    Each session of one needs the plan that was signed, and the coins that were tossed.
    """
    holds = agreements.live(agreements.day_of(now))
    agreed = exists().where(schema.agreements.c.job == _J.c.id, holds)
    return and_(_J.c.state.in_(ENDED), ~agreed)


def _removable(now: float) -> ColumnElement[bool]:
    return and_(_loose(now), ~exists().where(schema.models.c.job == _J.c.id))


def _remove_jobs(database: Database, condition: ColumnElement[bool], now: float) -> list[str]:
    query = select(_J.c.id).where(condition, _removable(now)).limit(_BATCH)

    def some(connection: Connection) -> list[str]:
        ids = list(connection.execute(query).scalars())
        if ids:
            connection.execute(_J.delete().where(_J.c.id.in_(ids)))
        return ids

    removed: list[str] = []
    while ids := database.write(some):
        removed += ids
    return removed


def _lighten_partners(database: Database, policy: Retention, now: float) -> int:
    """Take from old jobs of partners that have too many what a list does not show of them."""
    most = policy.partner_bytes
    if most is None:
        return 0
    size: Any = sum(func.coalesce(func.length(c), 0) for c in (_J.c.machine, _J.c.plan, _J.c.job))
    whole = and_(_removable(now), _J.c.owner.is_(None), _J.c.machine.is_not(None))
    sums = select(_J.c.initiator).where(whole).group_by(_J.c.initiator)
    sums = sums.having(func.sum(size) > most)
    count = 0
    for partner in database.read(lambda c: list(c.execute(sums).scalars())):
        query = select(_J.c.id, size).where(whole, _J.c.initiator == partner)
        query = query.order_by(_J.c.created.desc(), _J.c.id.desc())
        rows = database.read(partial(_all, query))
        totals = accumulate(length for _, length in rows)
        old = [job for (job, _), total in zip(rows, totals, strict=True) if total > most]
        for first in range(0, len(old), _BATCH):
            database.write(partial(_lighten, ids=old[first : first + _BATCH]))
        count += len(old)
    return count


def _all(query: Select[Any], connection: Connection) -> Sequence[Any]:
    return connection.execute(query).all()


def _lighten(connection: Connection, *, ids: Sequence[str]) -> None:
    for job in ids:
        whole = json.loads(connection.execute(select(_J.c.job).where(_J.c.id == job)).scalar_one())
        light = {**whole, "steps": {}}
        values = {"machine": None, "plan": None, "job": to_json(light)}
        connection.execute(_J.update().where(_J.c.id == job).values(values))


def _remove_artifacts(database: Database, policy: Retention, now: float) -> int:
    if policy.artifact_days is None:
        return 0
    long_ago = _J.c.ended < now - policy.artifact_days * DAY
    query = select(_J.c.id).where(long_ago, _loose(now))
    query = query.where(exists().where(_A.c.job == _J.c.id)).limit(_BATCH)

    def some(connection: Connection) -> tuple[int, int]:
        ids = list(connection.execute(query).scalars())
        gone = _A.delete().where(_A.c.job.in_(ids))
        count = connection.execute(gone).rowcount if ids else 0
        if ids:
            reuse = schema.reuse
            connection.execute(reuse.delete().where(reuse.c.job.in_(ids)))
        return len(ids), count

    total = 0
    while True:
        jobs, count = database.write(some)
        total += count
        if not jobs:
            return total


def _remove_folder(parent: Path | None, job: str) -> None:
    if parent is None or Path(job).name != job or job in ("", ".", ".."):
        return
    folder = parent / job
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)


def _remove_logs(parent: Path | None, policy: Retention, now: float) -> int:
    """Remove the logs that were last written too long ago, and return how many."""
    if parent is None or policy.log_days is None:
        return 0
    count = 0
    for path in parent.glob(f"*/{LOGS}/*.jsonl"):
        if path.parent.is_symlink() or path.parent.parent.is_symlink():
            continue
        # Its job may be removed at the same moment.
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < now - policy.log_days * DAY:
                path.unlink()
                count += 1
    return count


def _release_pages(database: Database) -> None:
    """Let a SQLite file shrink, some pages per transaction."""
    if database.file is None:
        return

    def some(connection: Connection) -> int:
        free = int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
        # The driver takes one step per statement, and so gives back one page, whatever is asked.
        for _ in range(min(free, _PAGES)):
            connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
        return free

    free = database.write(some)
    while free:
        before, free = free, database.write(some)
        if free >= before:
            return
