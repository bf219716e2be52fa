"""The same behaviour on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from atoll.flow.store import Database, Jobs, Meta
from tests.flow.store.samples import job


def test_first(database: Database) -> None:
    jobs = Jobs(database)
    jobs.create(job(1), ["alpha", "beta"])
    jobs.save(job(1, state="running"), ["alpha"])
    assert jobs.get(job(1).id).state == "running"
    Meta(database).set("a", "1")
    Meta(database).set("a", "2")
    assert Meta(database).get("a") == "2"
