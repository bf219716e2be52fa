"""A backup: one tar file with the database, the artifacts and a manifest of checksums.

SQLite is copied by its own online backup while the node goes on; a server's database is written
out as JSON lines, from one snapshot. JSON lines can be restored into any kind of database, so a
portable backup of SQLite is also the way to a server. Keys of the node are in no backup of ours.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, select

from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.flow.store import migrate, schema
from atoll.flow.store.artifacts import Artifacts
from atoll.flow.store.database import Database
from atoll.flow.store.files import ArtifactFiles, explained
from atoll.flow.store.statements import to_json
from atoll.jobs.errors import EnvironmentFault, NotFoundError

FORMAT = 1
MANIFEST = "manifest.json"
SQLITE = "database/atoll.db"
TABLES = "database/tables"
ARTIFACTS = "artifacts"
SETTINGS = "settings"
_FETCH = 500
# A row holds a job or plan, which nests less, and takes less, than any document that made it.
_ROW_DEPTH = 128
_ROW_BYTES = 256 << 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class BackupReport:
    """What a backup holds; ``missing`` are digests that have a row but no file."""

    path: Path
    bytes: int
    artifacts: int
    missing: tuple[str, ...]


def backup(
    database: Database,
    files: ArtifactFiles,
    target: Path,
    now: float,
    *,
    portable: bool = False,
    settings: Mapping[str, Path] | None = None,
) -> BackupReport:
    """Write a backup to a new file ``target`` (mode 0600); it appears whole or not at all.

    ``now`` is the wall time in seconds since 1970; ``settings`` are small files taken along by
    name. Errors: ATL-STO-004 disk full, ATL-STO-024 cannot write, ATL-STO-025 target exists.
    """
    if target.exists():
        raise EnvironmentFault("ATL-STO-025", "this file exists already", place=str(target))
    with explained(str(target.parent)), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        work = Path(folder)
        made = work / "backup.tar"
        with files.locked(), made.open("xb") as raw:
            os.fchmod(raw.fileno(), 0o600)
            archive = _Archive(raw)
            _add_database(archive, database, work, portable=portable)
            for name, path in (settings or {}).items():
                archive.add(f"{SETTINGS}/{_checked(name)}", path)
            digests = sorted(Artifacts(database).reachable())
            missing = _add_artifacts(archive, files, digests)
            archive.finish(_about(database, now, digests, missing))
            raw.flush()
            os.fsync(raw.fileno())
        size = made.stat().st_size
        made.rename(target)
    return BackupReport(target, size, len(digests) - len(missing), missing)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise EnvironmentFault("ATL-STO-025", "a file has a name that no backup takes", place=name)
    return name


def _about(
    database: Database, now: float, digests: list[str], missing: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "created": now,
        "database": database.dialect,
        "revision": database.read(migrate.current),
        "artifacts": digests,
        "missing": list(missing),
    }


def _add_database(archive: _Archive, database: Database, work: Path, *, portable: bool) -> None:
    if database.dialect == "sqlite" and not portable:
        copy = work / "copy.db"
        database.read(lambda connection: _copy_sqlite(connection, copy))
        archive.add(SQLITE, copy)
        copy.unlink()
    else:
        database.read(lambda connection: _dump(archive, connection, work))


def _copy_sqlite(connection: Connection, target: Path) -> None:
    source = connection.connection.driver_connection
    if not isinstance(source, sqlite3.Connection):
        raise TypeError("not a connection of SQLite")
    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE").close()


def _dump(archive: _Archive, connection: Connection, work: Path) -> None:
    for table in schema.metadata.sorted_tables:
        path = work / f"{table.name}.jsonl"
        query = select(table).order_by(*table.primary_key.columns)
        with path.open("w", encoding="utf-8") as file:
            rows = connection.execution_options(yield_per=_FETCH).execute(query)
            for row in rows:
                file.write(to_json(dict(row._mapping)) + "\n")
        archive.add(f"{TABLES}/{table.name}.jsonl", path)
        path.unlink()


def _add_artifacts(archive: _Archive, files: ArtifactFiles, digests: list[str]) -> tuple[str, ...]:
    missing = []
    for digest in digests:
        try:
            with files.open(digest) as file:
                archive.add_open(f"{ARTIFACTS}/{digest}", file, os.fstat(file.fileno()).st_size)
        except NotFoundError:
            missing.append(digest)
    return tuple(missing)


class _Archive:
    """A tar file in the making; it ends with the manifest of what was added."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self.add_open(name, file, path.stat().st_size)

    def add_open(self, name: str, file: IO[bytes], size: int) -> None:
        reader = _Hashing(file)
        self._tar.addfile(_member(name, size), reader)
        self._files[name] = {"bytes": size, "sha256": reader.digest.hexdigest()}

    def finish(self, about: Mapping[str, Any]) -> None:
        text = json.dumps({**about, "files": self._files}, indent=1, sort_keys=True).encode()
        self._tar.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
        self._tar.close()


class _Hashing(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o600
    return member


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Walk the rows of a table in a dump. Errors: ValueError one takes more memory than any row."""
    with path.open("rb") as file:
        for line in file:
            try:
                codec.judge_json(line, depth=_ROW_DEPTH, memory=codec.document_memory(_ROW_BYTES))
            except AtollError as error:
                raise ValueError("a row is none of ours") from error
            yield json.loads(line)
