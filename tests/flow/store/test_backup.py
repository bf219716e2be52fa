"""Backups: they hold all, restore into any kind of database, and a damaged one is refused."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import sys
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from atoll.core.errors import AtollError, UserError
from atoll.flow.store import (
    ArtifactFiles,
    Artifacts,
    Database,
    Events,
    Jobs,
    Meta,
    Tasks,
    backup,
    restore,
    schema,
)
from atoll.flow.store.writer import MARK
from atoll.jobs.errors import ConflictError, EnvironmentFault
from tests.flow.store.conftest import KINDS, create
from tests.flow.store.samples import artifact, job, task
from tests.flow.store.servers import Server

Rows = dict[str, list[tuple[object, ...]]]


def fill(database: Database, files: ArtifactFiles) -> None:
    jobs = Jobs(database)
    for number in range(1, 4):
        row = job(number, name="数据 ' \" \\ \n", tags=["t"], machine={"n": [1.5, None]})
        jobs.create(row, ["alpha", "beta"])
        Tasks(database).save(task(row, seconds=0.1 + 0.2, peak_memory=1 << 40))
        Events(database).append(row.id, 1767225600.123456, "state", data={"x": True})
        stored = files.put(b"artifact %d" % number)
        Artifacts(database).save(artifact(row, stored.digest, bytes=stored.bytes))
    marked = schema.artifacts.update().where(schema.artifacts.c.job == job(1).id)
    database.write(lambda c: c.execute(marked.values(published=True)))
    Meta(database).set("party", "alpha")


def content(database: Database) -> Rows:
    def look(connection: Connection) -> Rows:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(select(table).order_by(*table.primary_key))
                if row[0] != MARK
            ]
            for table in schema.metadata.sorted_tables
        }

    return database.read(look)


@pytest.mark.parametrize("target", KINDS)
def test_there_and_back(
    database: Database,
    kind: str,
    target: str,
    tmp_path: Path,
    servers: Callable[[str], Server],
) -> None:
    """From each kind into each: a copy of the file for SQLite to SQLite, rows for the others."""
    files = ArtifactFiles(tmp_path / "artifacts")
    fill(database, files)
    settings = tmp_path / "atoll.toml"
    settings.write_text("[node]\n")
    made = backup(
        database,
        files,
        tmp_path / "b.tar",
        5.0,
        portable=target != "sqlite",
        settings={"atoll.toml": settings},
    )
    assert (made.artifacts, made.missing) == (3, ())
    assert made.path.stat().st_mode & 0o777 == 0o600
    new = tmp_path / "new"
    url = f"sqlite:///{new}/atoll.db" if target == "sqlite" else create(servers(target))
    report = restore(made.path, url, new / "artifacts", settings=new)
    assert (report.created, report.artifacts, report.settings) == (5.0, 3, ("atoll.toml",))
    with Database.open(url) as restored:
        assert content(restored) == content(database)
        Jobs(restored).create(job(9))
    again = ArtifactFiles(new / "artifacts")
    assert sorted(again.digests()) == sorted(files.digests())
    assert again.read(next(again.digests())).startswith(b"artifact ")
    with pytest.raises(ConflictError, match="ATL-STO-027"):
        restore(made.path, url, new / "artifacts")


def test_people_decide_after_a_restore(sqlite: Database, tmp_path: Path) -> None:
    """What partners learned after a backup is not counted in it: caps held for it once more."""
    table = schema.grants
    values = {
        "data": "people",
        "partners": '["shop"]',
        "columns": '["*"]',
        "components": '["psi"]',
        "roles": '["*"]',
        "limits": "{}",
        "minimum_intersection": 20,
        "created_by": "boss",
        "created": 1.0,
    }
    made = [("live", True, None), ("asked", False, None), ("ended", True, 2.0)]

    def grant(connection: Connection) -> None:
        for id, automatic, revoked in made:
            more = {"id": id, "automatic": automatic, "revoked": revoked}
            connection.execute(table.insert().values(**values, **more))

    sqlite.write(grant)
    agreement = {
        "job": job(1).id,
        "step": "score",
        "plan_digest": "d" * 64,
        "party": "shop",
        "until": "2999-12-31",
        "day": "2026-01-01",
        "used_that_day": 0,
        "used": 0,
        "created": 1.0,
        "terms": "{}",
        "plan": "{}",
    }
    Jobs(sqlite).create(job(1), ["alpha", "beta"])

    def agree(connection: Connection) -> None:
        for id, ended in (("live", None), ("over", 2.0)):
            connection.execute(schema.agreements.insert().values(id=id, ended=ended, **agreement))
        for id, used in (("open", None), ("used", 2.0)):
            code = {"id": id, "hash": id * 16, "party": "shop", "expires": 1e10, "used": used}
            connection.execute(schema.invitations.insert().values(**code))

    sqlite.write(agree)
    archive = tmp_path / "backup.tar"
    backup(sqlite, ArtifactFiles(tmp_path / "files"), archive, 5.0)
    url = f"sqlite:///{tmp_path / 'new.db'}"
    report = restore(archive, url, tmp_path / "new")
    assert (report.grants, report.agreements, report.codes, report.tokens) == (1, 1, 1, 0)
    with Database.open(url) as restored:
        query = select(table.c.id).where(table.c.automatic)
        found = restored.read(lambda c: c.execute(query).scalars().all())
        of = schema.agreements.c
        rows = restored.read(lambda c: c.execute(select(of.id, of.ended_by)).all())
        codes = restored.read(lambda c: c.execute(select(schema.invitations.c.id)).scalars().all())
    assert found == ["ended"]
    assert {row.id: row.ended_by for row in rows} == {"live": "restore", "over": None}
    assert codes == ["used"]


def test_a_backup_while_others_write(sqlite: Database, tmp_path: Path) -> None:
    files = ArtifactFiles(tmp_path / "artifacts")
    jobs, ending = Jobs(sqlite), threading.Event()

    def write() -> None:
        number = 0
        while not ending.is_set():
            number += 1
            row = job(number)

            def work(connection: Connection) -> None:
                jobs.create(row, connection=connection)  # noqa: B023
                Tasks(sqlite).save(task(row), connection=connection)  # noqa: B023

            sqlite.write(work)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        made = [backup(sqlite, files, tmp_path / f"{n}.tar", 1.0) for n in range(3)]
    finally:
        ending.set()
        thread.join(30)
    for number, one in enumerate(made):
        place = tmp_path / f"r{number}"
        restore(one.path, f"sqlite:///{place}/atoll.db", place / "artifacts")
        with Database.open(f"sqlite:///{place}/atoll.db") as database:
            rows = content(database)
            assert [r[0] for r in rows["jobs"]] == [r[0] for r in rows["tasks"]]


def test_a_missing_artifact_is_told(sqlite: Database, tmp_path: Path) -> None:
    files = ArtifactFiles(tmp_path / "artifacts")
    fill(sqlite, files)
    lost = next(files.digests())
    files.path(lost).unlink()
    made = backup(sqlite, files, tmp_path / "b.tar", 1.0)
    assert (made.artifacts, made.missing) == (2, (lost,))
    place = tmp_path / "new"
    report = restore(made.path, f"sqlite:///{place}/atoll.db", place / "artifacts")
    assert (report.artifacts, report.missing) == (2, (lost,))


def test_nothing_is_overwritten(sqlite: Database, tmp_path: Path) -> None:
    files = ArtifactFiles(tmp_path / "artifacts")
    backup(sqlite, files, tmp_path / "b.tar", 1.0)
    with pytest.raises(EnvironmentFault, match="ATL-STO-025"):
        backup(sqlite, files, tmp_path / "b.tar", 1.0)
    with pytest.raises(AtollError, match="ATL-STO-024"):
        backup(sqlite, files, tmp_path / "none" / "b.tar", 1.0)
    with pytest.raises(AtollError, match="ATL-STO-025"):
        backup(sqlite, files, tmp_path / "c.tar", 1.0, settings={"../x": tmp_path / "b.tar"})
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == ["b.tar"]


@pytest.fixture
def archive(sqlite: Database, tmp_path: Path) -> Path:
    """A good backup of a small node."""
    files = ArtifactFiles(tmp_path / "artifacts")
    fill(sqlite, files)
    return backup(sqlite, files, tmp_path / "good.tar", 1.0).path


def refused(archive: Path, code: str) -> None:
    """Restoring must fail and leave nothing."""
    place = archive.parent / "place"
    with pytest.raises(AtollError, match=code):
        restore(archive, f"sqlite:///{place}/atoll.db", place / "artifacts")
    assert not (place / "atoll.db").exists()
    assert list(place.rglob("*")) == []


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.95])
def test_a_backup_cut_short_is_refused(archive: Path, part: float) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * part)])
    refused(archive, "ATL-STO-026")


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_changed_backup_is_refused(archive: Path, part: float) -> None:
    """One byte inside each member in turn, found by its offset."""
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    chosen = members[int(len(members) * part)]
    data = bytearray(archive.read_bytes())
    data[chosen.offset_data + chosen.size // 2] ^= 1
    archive.write_bytes(data)
    refused(archive, "ATL-STO-026")


def rewrite(archive: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with tarfile.open(archive) as tar:
        parts = {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar.getmembers()}
    change(parts)
    with tarfile.open(archive, "w") as tar:
        for name, data in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "artifacts/../evil", "database/x", "a/b"])
def test_strange_members_are_refused(archive: Path, name: str) -> None:
    rewrite(archive, lambda parts: parts.update({name: b"x"}))
    refused(archive, "ATL-STO-026")


def test_links_in_a_backup_are_refused(archive: Path) -> None:
    with tarfile.open(archive, "a") as tar:
        member = tarfile.TarInfo("artifacts/" + "a" * 64)
        member.type = tarfile.SYMTYPE
        member.linkname = "/etc/passwd"
        tar.addfile(member)
    refused(archive, "ATL-STO-026")


def test_a_row_of_a_dump_is_judged_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[backup.__module__]
    monkeypatch.setattr(module, "_ROW_BYTES", 1 << 16)
    file = tmp_path / "jobs.jsonl"
    file.write_bytes(b'{"id": "a"}\n{"id": [' + b"[]," * 20_000 + b"[]]}\n")
    rows = module.lines_of(file)
    assert next(rows) == {"id": "a"}
    with pytest.raises(ValueError, match="none of ours"):
        next(rows)


def sparse(name: bytes, size: int) -> bytes:
    """Return the header of GNU tar for a file of so many bytes that is one hole."""
    block = bytearray(512)
    octal = {124: 0, 136: 0, 386: size, 398: 0, 483: size}
    for at, number in octal.items():
        block[at : at + 12] = b"%011o\0" % number
    block[: len(name)] = name
    block[100:108], block[156:157], block[257:265] = b"0000600\0", b"S", b"ustar  \0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def sparse_pax(name: bytes, size: int) -> bytes:
    made = tarfile.TarInfo(name.decode())
    made.pax_headers = {"GNU.sparse.map": f"{size},0", "GNU.sparse.size": str(size)}
    return made.tobuf(tarfile.PAX_FORMAT)


@pytest.mark.parametrize("header", [sparse, sparse_pax])
def test_a_backup_writes_no_more_than_it_holds(
    archive: Path, monkeypatch: pytest.MonkeyPatch, header: Callable[[bytes, int], bytes]
) -> None:
    """1,536 bytes made restoring write 300 MB before it looked at them."""
    size = 8 << 20
    archive.write_bytes(header(b"database/atoll.db", size) + bytes(1024))
    with tarfile.open(archive, "r|") as tar:
        assert [(one.size, one.issparse()) for one in tar] == [(size, True)]
    module = sys.modules[restore.__module__]
    monkeypatch.setattr(module, "_write", lambda *_: pytest.fail("it was written"))
    refused(archive, "ATL-STO-026")


def test_a_manifest_is_judged_before_it_is_read(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists in lists cost thirtyfold: 256 MiB of manifest would have taken gigabytes."""
    module = sys.modules[restore.__module__]
    monkeypatch.setattr(module, "_MANIFEST_BYTES", 1 << 16)
    lists = b"[" + b"[]," * 20_000 + b"[]]"
    rewrite(archive, lambda parts: parts.update({"manifest.json": lists}))
    monkeypatch.setattr(module.json, "loads", lambda text: pytest.fail("it was read"))
    refused(archive, "ATL-STO-026")


@pytest.mark.parametrize("what", ["code", "holes"])
def test_a_database_with_more_or_less_than_ours(archive: Path, tmp_path: Path, what: str) -> None:
    """A manifest is no signature: whoever made the file may have made it fit."""

    def change(parts: dict[str, bytes]) -> None:
        copy = tmp_path / "copy.db"
        copy.write_bytes(parts["database/atoll.db"])
        with closing(sqlite3.connect(copy)) as connection:
            trigger = "CREATE TRIGGER t AFTER INSERT ON jobs BEGIN DELETE FROM audit; END"
            connection.execute(trigger if what == "code" else "SELECT 1")
            connection.commit()
        data = bytearray(copy.read_bytes())
        if what == "holes":
            data[4096:20000] = bytes(20000 - 4096)
        parts["database/atoll.db"] = bytes(data)
        manifest = json.loads(parts["manifest.json"])
        digest = hashlib.sha256(data).hexdigest()
        manifest["files"]["database/atoll.db"] = {"bytes": len(data), "sha256": digest}
        parts["manifest.json"] = json.dumps(manifest).encode()

    rewrite(archive, change)
    place = tmp_path / "place"
    with pytest.raises(AtollError, match="ATL-STO-026"):
        restore(archive, f"sqlite:///{place}/atoll.db", place / "artifacts")
    assert not (place / "atoll.db").exists()


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("format", 2, "026"),
        ("files", {}, "026"),
        ("artifacts", [], "026"),
        ("created", None, "026"),
        ("missing", 3, "026"),
        ("revision", "9999", "008"),
    ],
)
def test_a_manifest_that_does_not_fit(archive: Path, key: str, value: object, code: str) -> None:
    def change(parts: dict[str, bytes]) -> None:
        manifest = json.loads(parts["manifest.json"])
        manifest[key] = value
        parts["manifest.json"] = json.dumps(manifest).encode()

    rewrite(archive, change)
    refused(archive, f"ATL-STO-{code}")


def test_a_full_target_is_not_touched(archive: Path, tmp_path: Path) -> None:
    place = tmp_path / "atoll.db"
    before = place.read_bytes()
    with pytest.raises(ConflictError, match="ATL-STO-027"):
        restore(archive, f"sqlite:///{place}", tmp_path / "elsewhere" / "artifacts")
    assert place.read_bytes() == before


def test_a_copy_of_a_file_does_not_go_to_a_server(
    archive: Path, tmp_path: Path, servers: Callable[[str], Server]
) -> None:
    url = create(servers("postgresql"))
    with pytest.raises(UserError, match="ATL-STO-027"):
        restore(archive, url, tmp_path / "elsewhere" / "artifacts")
