"""Pruning: what the policy keeps stays, and nothing that is still named is removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import Connection

from atoll.flow.store import (
    AgreementRow,
    Agreements,
    ArtifactFiles,
    Artifacts,
    Database,
    Jobs,
    ModelRow,
    Models,
    Pruned,
    Retention,
    Reuse,
    prune,
)
from atoll.flow.store.retention import DAY
from tests.flow.store.samples import artifact, job

NOW = 100 * DAY


@pytest.fixture
def files(tmp_path: Path) -> ArtifactFiles:
    return ArtifactFiles(tmp_path / "artifacts")


def fill(database: Database, files: ArtifactFiles) -> dict[int, str]:
    """Make jobs 1 to 6 that ended on day 10 to 60, each with an artifact; 7 still runs."""
    jobs, artifacts = Jobs(database), Artifacts(database)
    digests = {}
    for number in range(1, 8):
        ended = None if number == 7 else number * 10 * DAY
        state = "success" if ended else "running"
        jobs.create(job(number, state=state, ended=ended))
        digests[number] = files.put(str(number).encode()).digest
        artifacts.save(artifact(job(number), digests[number]))
        os.utime(files.path(digests[number]), (number, number))
        Reuse(database).put(str(number), job(number).id, "psi", 0)
    return digests


def left(database: Database) -> list[int]:
    return sorted(int(row.id[-8:], 16) for row in Jobs(database).list())


def test_no_policy_removes_no_job(database: Database, files: ArtifactFiles) -> None:
    digests = fill(database, files)
    loose = files.put(b"loose").digest
    os.utime(files.path(loose), (NOW - 3599, NOW - 3599))
    report = prune(database, files, Retention(), NOW)
    # A file that no row names stays while it is young: its row may come yet.
    assert (report.jobs, report.artifacts, report.files) == ((), 0, Pruned(0, 0))
    assert prune(database, files, Retention(), NOW + 2).files == Pruned(1, 5)
    assert set(files.digests()) == set(digests.values())


def test_old_jobs_go_with_their_files_and_folders(
    database: Database, files: ArtifactFiles, tmp_path: Path
) -> None:
    digests = fill(database, files)
    for number in (1, 6):
        (tmp_path / "jobs" / job(number).id / "logs").mkdir(parents=True)
    policy = Retention(job_days=70)
    report = prune(database, files, policy, NOW, job_folders=tmp_path / "jobs")
    assert sorted(report.jobs) == [job(1).id, job(2).id]
    assert left(database) == [3, 4, 5, 6, 7]
    assert set(files.digests()) == {digests[n] for n in range(3, 8)}
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == [job(6).id]
    assert Reuse(database).find("1") is None


def test_only_so_many_are_kept(database: Database, files: ArtifactFiles) -> None:
    fill(database, files)
    prune(database, files, Retention(jobs=2), NOW)
    assert left(database) == [5, 6, 7]
    prune(database, files, Retention(jobs=0), NOW)
    assert left(database) == [7]


def test_the_job_of_a_model_stays(database: Database, files: ArtifactFiles) -> None:
    digests = fill(database, files)
    row = ModelRow(
        id="m", version=1, job=job(2).id, kind="k", digest=digests[2], stage="s", created=1.0
    )
    Models(database).add(row)
    prune(database, files, Retention(job_days=1), NOW)
    assert left(database) == [2, 7]
    assert prune(database, files, Retention(artifact_days=1), NOW).artifacts == 1
    # The model's file has outlived the output that it was.
    assert set(files.digests()) == {digests[2], digests[7]}


def test_the_job_of_an_agreement_stays_whole_while_it_holds(
    database: Database, files: ArtifactFiles
) -> None:
    digests = fill(database, files)
    agreements = Agreements(database)
    rows = [
        AgreementRow(
            id=f"{job(number).id}.scores",
            job=job(number).id,
            step="scores",
            plan_digest="p",
            party="alpha",
            until=until,
            day="1970-01-11",
            created=1.0,
            ended=ended,
            terms={},
        )
        # NOW is the end of 10 April 1970.
        for number, until, ended in (
            (1, "1970-04-11", None),
            (2, "1970-04-10", None),
            (3, "2030-01-01", 9.0),
        )
    ]
    database.write(lambda c: [agreements.add(row, {}, connection=c) for row in rows])
    report = prune(database, files, Retention(artifact_days=10), NOW)
    assert report.artifacts == 5
    assert set(files.digests()) == {digests[1], digests[7]}
    prune(database, files, Retention(job_days=1), NOW)
    assert left(database) == [1, 7]
    assert agreements.find(rows[0].id) == rows[0]
    assert agreements.find(rows[1].id) is None


def test_outputs_may_go_before_their_jobs(database: Database, files: ArtifactFiles) -> None:
    digests = fill(database, files)
    report = prune(database, files, Retention(artifact_days=55), NOW)
    assert (report.jobs, report.artifacts) == ((), 4)
    assert len(left(database)) == 7
    assert set(files.digests()) == {digests[n] for n in (5, 6, 7)}
    assert Reuse(database).find("2") is None
    assert Reuse(database).find("7") is not None


def test_old_logs_go_and_their_jobs_stay(
    database: Database, files: ArtifactFiles, tmp_path: Path
) -> None:
    fill(database, files)
    folders, outside = tmp_path / "jobs", tmp_path / "outside"
    for number in (1, 7):
        logs = folders / job(number).id / "logs"
        logs.mkdir(parents=True)
        for name, day in (("psi.1.jsonl", 69), ("psi.2.jsonl", 71)):
            (logs / name).write_text("{}\n")
            os.utime(logs / name, (day * DAY, day * DAY))
    (outside / "logs").mkdir(parents=True)
    (outside / "logs" / "psi.1.jsonl").touch()
    os.utime(outside / "logs" / "psi.1.jsonl", (0, 0))
    (folders / "link").symlink_to(outside)
    assert prune(database, files, Retention(), NOW, job_folders=folders).logs == 0
    report = prune(database, files, Retention(log_days=30), NOW, job_folders=folders)
    assert (report.jobs, report.artifacts, report.logs) == ((), 0, 2)
    left_over = {path.relative_to(folders).as_posix() for path in folders.glob("*-*/logs/*")}
    assert left_over == {f"{job(n).id}/logs/psi.2.jsonl" for n in (1, 7)}
    assert (outside / "logs" / "psi.1.jsonl").exists()


def test_a_job_id_leads_to_no_other_folder(sqlite: Database, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "jobs").mkdir()
    for number, name in enumerate(["../outside", "..", ".", "link"]):
        Jobs(sqlite).create(job(number, id=name, state="failed", ended=1.0))
    (tmp_path / "jobs" / "link").symlink_to(outside)
    report = prune(sqlite, None, Retention(job_days=1), NOW, job_folders=tmp_path / "jobs")
    assert len(report.jobs) == 4
    assert outside.is_dir()
    assert (tmp_path / "jobs").is_dir()


def test_many_are_removed_and_the_file_shrinks(sqlite: Database) -> None:
    jobs = Jobs(sqlite)

    def fill_many(connection: Connection) -> None:
        for n in range(230):
            row = job(n, state="failed", ended=1.0, notes="n" * 9000)
            jobs.create(row, connection=connection)

    sqlite.write(fill_many)

    def pages() -> int:
        return int(sqlite.read(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one()))

    before = pages()
    assert len(prune(sqlite, None, Retention(job_days=1), NOW).jobs) == 230
    assert pages() < before / 2


def test_of_a_partners_old_jobs_the_list_stays(database: Database, files: ArtifactFiles) -> None:
    """Own ones, and those of other partners, are kept in full; a second time changes nothing."""
    jobs, machine = Jobs(database), {"a": "x" * 1000}
    whole = {"name": "a", "parties": {"bank": "guest"}, "steps": {"read": "y" * 1000}}
    for number in range(1, 9):
        own = {"owner": "ann"} if number == 1 else {"owner": None}
        partner = "alpha" if number < 7 else "beta"
        state = "running" if number == 2 else "failed"
        jobs.create(
            job(
                number, **own, initiator=partner, state=state, ended=NOW, machine=machine, job=whole
            )
        )
    for _ in range(2):
        prune(database, files, Retention(partner_bytes=5000), NOW)
        found = {int(row.id[-8:], 16): jobs.get(row.id) for row in jobs.list()}
        assert {number for number, row in found.items() if row.machine is None} == {3, 4}
        assert found[3].job == {**whole, "steps": {}}
        assert (found[3].state, found[3].name, found[8].job) == ("failed", "job 3", whole)
