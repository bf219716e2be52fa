"""Numbers of the store for ``/metrics``: a few queries that an index answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from atoll.flow.store import schema
from atoll.flow.store.database import Database


@dataclass(frozen=True)
class Statistics:
    """Counts by state, and the writer's; bytes are 0 for what lies on a server."""

    jobs: Mapping[str, int]
    tasks: Mapping[str, int]
    commits: int
    waiting_writes: int
    database_bytes: int
    log_bytes: int
    free_bytes: int


def statistics(database: Database) -> Statistics:
    """Measure the store as it is now."""
    jobs, tasks = database.read(_counts)
    file = database.file
    return Statistics(
        jobs=jobs,
        tasks=tasks,
        commits=database.commits,
        waiting_writes=database.waiting,
        database_bytes=_size(file),
        log_bytes=_size(file and file.with_name(file.name + "-wal")),
        free_bytes=_free(file),
    )


def _counts(connection: Connection) -> tuple[dict[str, int], dict[str, int]]:
    found = []
    for table in (schema.jobs, schema.tasks):
        query = select(table.c.state, func.count()).group_by(table.c.state)
        found.append({row[0]: row[1] for row in connection.execute(query)})
    return found[0], found[1]


def _size(file: Path | None) -> int:
    try:
        return file.stat().st_size if file else 0
    except FileNotFoundError:
        return 0


def _free(file: Path | None) -> int:
    if file is None:
        return 0
    disk = os.statvfs(file.parent)
    return disk.f_bavail * disk.f_frsize
