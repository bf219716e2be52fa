"""The same behaviour of every repository on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from contextlib import suppress

import pytest

from atoll.core.errors import UserError
from atoll.flow.store import (
    Artifacts,
    ComponentRow,
    Components,
    Database,
    DataRow,
    DataSets,
    Events,
    Jobs,
    Meta,
    MetricRow,
    Metrics,
    ModelRow,
    Models,
    Retention,
    Reuse,
    ServiceRow,
    Tasks,
    Traffic,
    TrafficRow,
    every,
    prune,
)
from atoll.jobs.errors import ConflictError, NotFoundError
from tests.flow.store.samples import artifact, job, task


def test_a_job_comes_back_as_it_went(database: Database) -> None:
    jobs = Jobs(database)
    row = job(
        1,
        name="Größe 数据 😀",
        tags=["b", "a"],
        machine={"steps": {"psi": [1, None, 1.5]}},
        plan={"digest": "00"},
        idempotency_key="key",
        created=1767225600.123457,
        bytes_sent=1 << 40,
        notes="n" * 100_000,
    )
    jobs.create(row, ["beta", "alpha"])
    assert jobs.get(row.id) == row
    assert jobs.find("20260101000000-ffffffff") is None
    with pytest.raises(NotFoundError, match="ATL-STO-019"):
        jobs.get("20260101000000-ffffffff")


def test_a_key_makes_one_job(database: Database) -> None:
    jobs = Jobs(database)
    first = job(1, idempotency_key="k")
    jobs.create(first)
    jobs.create(job(2, idempotency_key="k"))
    assert jobs.by_key("k") == first
    assert jobs.find(job(2).id) is None
    with pytest.raises(ConflictError, match="ATL-STO-012"):
        jobs.create(job(1))
    # Keys compare byte by byte: neither case nor a blank at the end is ignored.
    others = [job(3, idempotency_key="K"), job(4, idempotency_key="k ")]
    for row in others:
        jobs.create(row)
    assert [jobs.by_key(key) for key in ("K", "k ")] == others


def test_changes_of_a_job(database: Database) -> None:
    jobs = Jobs(database)
    jobs.create(job(1, idempotency_key="k"), ["alpha", "beta"])
    id = job(1).id
    jobs.update(id, {"state": "failed", "ended": 5.5, "machine": {"x": 1}, "tags": ["t"]})
    changed = jobs.get(id)
    assert (changed.state, changed.ended, changed.machine) == ("failed", 5.5, {"x": 1})
    assert (changed.created, changed.idempotency_key) == (1.0, "k")
    assert [row.id for row in jobs.list(tag="t", party="beta")] == [id]
    with pytest.raises(NotFoundError):
        jobs.update("20260101000000-ffffffff", {"state": "failed"})
    assert jobs.counts() == {"failed": 1}


def test_lists_of_jobs_filter_and_page(database: Database) -> None:
    jobs = Jobs(database)
    for number in range(1, 8):
        state = "running" if number % 2 else "failed"
        # Two jobs share each time, so that the id must decide.
        row = job(number, created=float(number // 2), state=state, tags=[f"t{number % 3}"])
        jobs.create(row, ["alpha", "beta" if number < 4 else "gamma"])

    def ids(**filters: object) -> list[int]:
        rows = every(lambda after: jobs.list(limit=2, after=after, **filters))  # type: ignore[arg-type]
        return [int(row.id[-8:], 16) for row in rows]

    assert ids() == [7, 6, 5, 4, 3, 2, 1]
    assert ids(states=["running"]) == [7, 5, 3, 1]
    assert ids(states=["running", "failed"], party="beta") == [3, 2, 1]
    assert ids(tag="t0") == [6, 3]
    assert ids(name="JOB 5") == [5]
    assert ids(name="%") == []
    assert ids(party="gamma", tag="t1") == [7, 4]


@pytest.mark.parametrize("limit", [0, 201, -1])
def test_a_page_is_bounded(database: Database, limit: int) -> None:
    with pytest.raises(UserError, match="ATL-STO-010"):
        Jobs(database).list(limit=limit)


def test_machines_of_open_jobs(database: Database) -> None:
    jobs = Jobs(database)
    for number in range(1, 121):
        state = "waiting" if number <= 110 else "success"
        jobs.create(job(number, state=state, machine={"n": number}))
    found = list(jobs.machines(["waiting", "running"]))
    assert [machine["n"] for _, machine in found] == list(range(1, 111))


def test_a_job_that_goes_takes_what_is_its(database: Database) -> None:
    jobs, tasks, artifacts = Jobs(database), Tasks(database), Artifacts(database)
    jobs.create(job(1, state="failed", ended=1.0), ["alpha"])
    tasks.save(task(job(1)))
    artifacts.save(artifact(job(1), "d" * 64))
    Reuse(database).put("key", job(1).id, "psi", 0)
    assert prune(database, None, Retention(job_days=0), 2.0).jobs == (job(1).id,)
    assert prune(database, None, Retention(job_days=0), 2.0).jobs == ()
    assert len(tasks.list(job(1).id)) == 0
    assert artifacts.reachable() == frozenset()
    assert Reuse(database).find("key") is None
    with pytest.raises(ConflictError, match="ATL-STO-012"):
        tasks.save(task(job(1)))


def test_a_fence_lets_one_change_through(database: Database) -> None:
    jobs, tasks = Jobs(database), Tasks(database)
    jobs.create(job(1))
    row = task(job(1), state="running")
    tasks.save(row)
    name = (row.job, row.step)
    ended = {"state": "success", "ended": 3.0}
    assert not tasks.move(*name, 1, expect=["running"], changes=ended)
    assert not tasks.move(*name, 0, expect=["waiting"], changes=ended)
    assert tasks.move(*name, 0, expect=["waiting", "running"], changes=ended)
    assert not tasks.move(*name, 0, expect=["running"], changes={"state": "lost"})
    (found,) = tasks.list(row.job, step=row.step)
    assert (found.state, found.ended) == ("success", 3.0)


def test_a_change_that_changes_nothing_still_took(database: Database) -> None:
    Jobs(database).create(job(1))
    tasks = Tasks(database)
    tasks.save(task(job(1), state="running", lease=5.0))
    same = {"state": "running", "lease": 5.0}
    assert tasks.move(job(1).id, "psi", 0, expect=["running"], changes=same)


def test_metrics_are_stored_once(database: Database) -> None:
    Jobs(database).create(job(1))
    metrics = Metrics(database)

    def point(number: int, value: float | None) -> MetricRow:
        return MetricRow(
            job=job(1).id, step="s", attempt=0, name="auc", number=number, value=value, time=1.0
        )

    metrics.add([point(0, 0.5), point(1, float("nan"))])
    metrics.add([point(1, 0.6), point(2, float("inf"))])
    metrics.add([])
    found = metrics.list(job(1).id, "s", 0)
    assert [(row.number, row.value) for row in found] == [(0, 0.5), (1, 0.6), (2, None)]


def test_traffic_is_summed_per_job(database: Database) -> None:
    Jobs(database).create(job(1))
    traffic = Traffic(database)

    def counted(peer: str, tag: str, count: int) -> TrafficRow:
        line = {"peer": peer, "task": "s", "tag": tag, "bytes_sent": count}
        return TrafficRow.of(job(1).id, "s", 0, line)

    traffic.save([counted("beta", "x", 1 << 40), counted("beta", "y", 3), counted("gamma", "x", 1)])
    traffic.save([counted("beta", "y", 5)])
    assert traffic.moved(job(1).id) == ((1 << 40) + 6, 0)
    assert traffic.moved(job(2).id) == (0, 0)
    assert len(list(every(lambda a: traffic.list(job(1).id, limit=1, after=a)))) == 3


def test_artifacts_and_reuse(database: Database) -> None:
    Jobs(database).create(job(1))
    artifacts, reuse = Artifacts(database), Reuse(database)
    first = artifact(job(1), "a" * 64, rows=569)
    second = artifact(job(1), "b" * 64, attempt=1)
    artifacts.save(first, second)
    assert artifacts.find(job(1).id, "psi", "table") == second
    assert artifacts.find(job(1).id, "psi", "table", 0) == first
    assert artifacts.reachable() == {"a" * 64, "b" * 64}
    reuse.put("key", job(1).id, "psi", 0)
    reuse.put("key", job(1).id, "psi", 1)
    assert reuse.find("key") == (job(1).id, "psi", 1)
    assert reuse.find("other") is None


def test_data_sets(database: Database) -> None:
    sets = DataSets(database)
    row = DataRow(
        name="bank",
        path="/data/bank.csv",
        format="csv",
        digest="d" * 64,
        columns=[{"name": "age", "type": "int64"}],
        rows=3,
        bytes=30,
        created=1.0,
    )
    sets.add(row)
    assert sets.get("bank") == row
    with pytest.raises(ConflictError):
        sets.add(row)
    sets.add(row, replace=True)
    assert list(sets.list()) == [row]
    assert sets.delete("bank")
    with pytest.raises(NotFoundError, match="ATL-STO-020"):
        sets.get("bank")


def test_models_and_services(database: Database) -> None:
    models = Models(database)
    assert models.next_version("m") == 1
    for version in (1, 2):
        models.add(
            ModelRow(
                id="m",
                version=version,
                kind="boosting.model",
                digest=str(version) * 64,
                stage="candidate",
                lineage={"job": "j"},
                created=float(version),
            )
        )
    assert models.next_version("m") == 3
    newest = models.find("m")
    assert newest is not None
    assert newest.version == 2
    models.set_stage("m", 1, "published")
    assert [row.version for row in models.list(stage="published")] == [1]
    assert [row.version for row in models.list()] == [2, 1]
    models.bind(ServiceRow(name="score", model="m", version=1, updated=1.0))
    models.bind(ServiceRow(name="score", model="m", version=2, updated=2.0))
    assert [row.version for row in models.services()] == [2]
    assert models.service("other") is None
    assert Artifacts(database).reachable() == {"1" * 64, "2" * 64}


def test_components(database: Database) -> None:
    components = Components(database)
    row = ComponentRow(name="c", distribution="d", version="1", digest="e" * 64, time=1.0)
    components.approve(row)
    assert components.revoke("c", 2.0)
    found = components.find("c")
    assert found is not None
    assert found.revoked == 2.0
    components.approve(row)
    assert list(components.list()) == [row]


def test_meta(database: Database) -> None:
    meta = Meta(database)
    meta.set("party", "alpha")
    meta.set("party", "beta")
    assert meta.get("party") == "beta"
    meta.delete("party")
    assert meta.get("party") is None


HOSTILE = ["'; DROP TABLE jobs; --", '"', "\\", "%_", "${x}", ":name", "?", "\N{BOM}\u202e", "`"]


@pytest.mark.parametrize("text", HOSTILE)
def test_values_are_never_sql(database: Database, text: str) -> None:
    jobs = Jobs(database)
    jobs.create(job(1, name=text, tags=[text], idempotency_key=text, notes=text), [text])
    assert jobs.get(job(1).id).name == text
    for found in (
        jobs.list(name=text),
        jobs.list(tag=text),
        jobs.list(party=text),
    ):
        assert [row.id for row in found] == [job(1).id]
    assert len(jobs.list(states=[text])) == 0
    assert jobs.by_key(text) is not None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "n" * 257),
        ("name", "nul\0"),
        ("notes", "\ud800"),
        ("updated", float("nan")),
        ("bytes_sent", 1 << 63),
    ],
)
def test_what_one_database_would_refuse_none_takes(
    database: Database, column: str, value: object
) -> None:
    with pytest.raises(UserError, match="ATL-STO-011"):
        Jobs(database).create(job(1, **{column: value}))
    assert Jobs(database).find(job(1).id) is None


UNFIT = ["nul\0", "\ud800", "x" * 10_000]


@pytest.mark.parametrize("text", UNFIT)
def test_what_cannot_be_is_not_found(database: Database, text: str) -> None:
    """A name from outside that no row can have: nothing is found, or it is the asker's fault."""
    jobs, models = Jobs(database), Models(database)
    for ask in (
        lambda: jobs.find(text),
        lambda: jobs.by_key(text),
        lambda: list(jobs.list(name=text, tag=text, party=text, states=[text])) or None,
        lambda: DataSets(database).find(text),
        lambda: models.find(text, 1),
        lambda: models.find("m", 10**30),
        lambda: models.find("m", -(10**30)),
        lambda: Events(database).list(text, after=10**30) or None,
        lambda: list(Tasks(database).list(text, step=text)) or None,
        lambda: Artifacts(database).find(text, text, text, 1 << 63),
    ):
        with suppress(UserError):
            assert ask() is None
    assert Jobs(database).counts() == {}
