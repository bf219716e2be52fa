"""Restoring a backup into an empty place: everything is checked before anything is put there."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, MetaData, Table, delete, func, inspect, select, update

from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.flow.store import engine as engines
from atoll.flow.store import migrate, schema
from atoll.flow.store.backup import ARTIFACTS, FORMAT, MANIFEST, SETTINGS, SQLITE, TABLES, lines_of
from atoll.flow.store.database import Database
from atoll.flow.store.files import ArtifactFiles, explained
from atoll.flow.store.lock import FileLock
from atoll.flow.store.writer import MARK
from atoll.jobs.errors import ConflictError

_MEMBER = re.compile(
    rf"{MANIFEST}|{SQLITE}|{TABLES}/[a-z_]{{1,40}}\.jsonl|{ARTIFACTS}/[0-9a-f]{{64}}"
    rf"|{SETTINGS}/[A-Za-z0-9_][A-Za-z0-9_.-]{{0,99}}"
)
_MANIFEST_BYTES = 256 << 20
_DEPTH = 8
_CHUNK = 1 << 20
_BATCH = 500
_CODE = "SELECT count(*) FROM sqlite_master WHERE type IN ('trigger', 'view')"


@dataclass(frozen=True)
class RestoreReport:
    """What came back; ``missing`` are artifacts that the backup did not hold either.

    ``grants`` that were automatic wait for a person now, ``agreements`` ended, ``codes`` of
    invitation were withdrawn, and ``tokens`` (sessions, too) ended. ``users`` (with their roles),
    trusted ``partners`` and ``caps`` are as the backup has them.
    """

    created: float
    rows: int
    artifacts: int
    missing: tuple[str, ...]
    settings: tuple[str, ...]
    grants: int
    agreements: int
    codes: int
    tokens: int
    users: tuple[str, ...]
    partners: tuple[str, ...]
    caps: tuple[str, ...]


def restore(
    archive: Path, url: str, artifacts: Path, *, settings: Path | None = None
) -> RestoreReport:
    """Restore a backup: database to ``url`` (absent or empty), files below ``artifacts``.

    What partners learned and used after the backup is not in it: no grant is automatic any more,
    standing agreements have ended, and open codes of invitation are withdrawn. Nor is what people
    changed: as a token or password may be one that was taken back, none of the backup's holds.
    With ``settings`` its small files go to that folder, too, where none has the name yet.
    Errors: ATL-STO-026 damaged backup, ATL-STO-027 target not empty, ATL-STO-008 made by a newer
    program, ATL-STO-004 disk full.
    """
    artifacts.parent.mkdir(parents=True, exist_ok=True)
    with explained(str(archive)), tempfile.TemporaryDirectory(dir=artifacts.parent) as folder:
        staged = Path(folder)
        manifest = _unpack(archive, staged)
        migrate.require_known(manifest["revision"])
        _require_empty(url)
        files = ArtifactFiles(artifacts)
        for path in sorted((staged / ARTIFACTS).glob("*")):
            files.adopt(path, path.name)
        if (staged / SQLITE).exists():
            _place(staged / SQLITE, url)
        else:
            _load(staged / TABLES, url, manifest["revision"])
        names = _settings(staged / SETTINGS, settings)
    with Database.open(url) as database:
        rows = database.read(_count)
        ended = database.write(_end_what_was_used)
        there = database.read(_as_they_were)
    missing = tuple(manifest["missing"])
    held = len(manifest["artifacts"]) - len(missing)
    return RestoreReport(manifest["created"], rows, held, missing, names, *ended, *there)


def _end_what_was_used(connection: Connection) -> tuple[int, int, int, int]:
    """End what a partner may have used, or people taken back since; return how many grants,
    agreements, codes and tokens.
    """
    grants, agreements, codes = schema.grants, schema.agreements, schema.invitations
    # Not only to be changed: the first to log in might be whoever stole it.
    shut = update(schema.users).values(password=None, must_change=True)
    connection.execute(shut.where(schema.users.c.password.is_not(None)))
    live = update(grants).where(grants.c.automatic.is_(True), grants.c.revoked.is_(None))
    held = update(agreements).where(agreements.c.ended.is_(None))
    why = {"ended": time.time(), "ended_by": "restore", "reason": "the node was restored"}
    changes = (
        live.values(automatic=False),
        held.values(**why),
        delete(codes).where(codes.c.used.is_(None)),
        delete(schema.tokens),
    )
    first, second, third, fourth = (connection.execute(change).rowcount for change in changes)
    return first, second, third, fourth


def _as_they_were(connection: Connection) -> tuple[tuple[str, ...], ...]:
    """Return users, trusted partners and caps, a line each, for people to compare."""
    users, peers, caps = schema.users.c, schema.peers.c, schema.caps.c
    people = connection.execute(select(users.name, users.roles).order_by(users.name)).all()
    trusted = select(peers.party).where(peers.revoked.is_(None)).order_by(peers.party)
    held = select(caps.data, caps.partner, caps.caps).order_by(caps.data, caps.partner)
    return (
        tuple(f"{row.name}: {', '.join(json.loads(row.roles)) or 'no role'}" for row in people),
        tuple(connection.execute(trusted).scalars()),
        tuple(
            f"{row.data} for {row.partner}: {_amounts(row.caps)}"
            for row in connection.execute(held)
        ),
    )


def _amounts(caps: str) -> str:
    return ", ".join(f"{unit} {value}" for unit, value in sorted(json.loads(caps).items()))


def _unpack(archive: Path, staged: Path) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    with _broken_is_damaged(), tarfile.open(archive, mode="r|") as tar:
        for member in tar:
            # What is written is what lies in the archive: a sparse member may state any size.
            plain = member.isreg() and not member.issparse()
            content = tar.extractfile(member) if plain else None
            if content is None or not _MEMBER.fullmatch(member.name) or member.name in found:
                raise _damaged("it holds what no backup of ours does")
            if member.name == MANIFEST and member.size > _MANIFEST_BYTES:
                raise _damaged("its manifest is too large")
            found[member.name] = _write(content, staged / member.name)
        manifest = _manifest(staged / MANIFEST) if MANIFEST in found else None
        return _verified(manifest, found)


def _manifest(path: Path) -> Any:
    data = path.read_bytes()
    try:
        codec.judge_json(data, depth=_DEPTH, memory=codec.document_memory(_MANIFEST_BYTES))
    except AtollError as error:
        raise _damaged("its manifest has another form") from error
    return json.loads(data)


def _write(content: IO[bytes], path: Path) -> dict[str, Any]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    size = 0
    with path.open("xb") as file:
        while piece := content.read(_CHUNK):
            digest.update(piece)
            size += file.write(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _verified(manifest: Any, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(manifest, dict):
        raise _damaged("its end is missing")
    if manifest.get("format") != FORMAT:
        raise _damaged("its format is of another version")
    held = {name: facts for name, facts in found.items() if name != MANIFEST}
    if manifest.get("files") != held:
        raise _damaged("a file is missing or changed")
    digests, missing = set(manifest["artifacts"]), set(manifest["missing"])
    if {f"{ARTIFACTS}/{d}" for d in digests - missing} != _artifacts(held):
        raise _damaged("its artifacts are not those of its list")
    dumped = {name for name in held if name.startswith(f"{TABLES}/")}
    if (SQLITE in held) == bool(dumped) or not isinstance(manifest["created"], float):
        raise _damaged("it holds no database, or two")
    return manifest


def _artifacts(names: dict[str, Any]) -> set[str]:
    for name, facts in names.items():
        if name.startswith(f"{ARTIFACTS}/") and facts["sha256"] != name.rpartition("/")[2]:
            raise _damaged("an artifact is not what its name states")
    return {name for name in names if name.startswith(f"{ARTIFACTS}/")}


@contextmanager
def _broken_is_damaged() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged("it cannot be read to its end") from error


def _damaged(why: str) -> AtollError:
    return UserError(
        "ATL-STO-026",
        f"this backup is damaged or is none: {why}",
        hint="nothing was restored; take another backup file",
    )


def _not_empty(place: str) -> AtollError:
    return ConflictError(
        "ATL-STO-027",
        "there is a database with content in this place",
        place=place,
        hint="restore into a new folder or an empty database; nothing was changed",
    )


def _require_empty(url: str) -> None:
    parts = engines.parse(url)
    file = engines.file_of(parts)
    if file is not None:
        if file.exists() and file.stat().st_size > 0:
            raise _not_empty(str(file))
        return
    reading = engines.make_engine(parts, writer=False, readers=1)
    try:
        with reading.connect() as connection:
            if inspect(connection).get_table_names() and _count(connection):
                raise _not_empty(parts.render_as_string(hide_password=True))
    finally:
        reading.dispose()


def _count(connection: Connection) -> int:
    """Count the rows of all tables, but for what the node notes about itself."""
    tables = set(inspect(connection).get_table_names())
    known = [t for t in schema.metadata.sorted_tables if t.name in tables and t is not schema.meta]
    return sum(
        connection.execute(select(func.count()).select_from(table)).scalar_one() for table in known
    )


def _place(copy: Path, url: str) -> None:
    """Check a SQLite file by itself, then move it to its place."""
    with _broken_is_damaged():
        try:
            with closing(sqlite3.connect(copy)) as connection:
                fine = connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
                # Code in a database, which would run with our rights; ours has none.
                fine = fine and connection.execute(_CODE).fetchone() == (0,)
        except sqlite3.Error as error:
            raise ValueError from error
        if not fine:
            raise _damaged("its database is not whole")
    target = engines.file_of(engines.parse(url))
    if target is None:
        raise UserError(
            "ATL-STO-027",
            "a copy of a SQLite file cannot be restored to a server",
            hint="make a portable backup (atoll admin backup --portable) and restore that",
        )
    copy.chmod(0o600)
    target.parent.mkdir(parents=True, exist_ok=True)
    copy.rename(target)


def _load(folder: Path, url: str, revision: str) -> None:
    parts = engines.parse(url)
    file = engines.file_of(parts)
    lock = FileLock(file.with_name(file.name + ".lock")) if file else None
    if file is not None and lock is not None:
        engines.touch(file)
        lock.acquire()
    writing = engines.make_engine(parts, writer=True)
    try:
        migrate.upgrade(writing, parts.render_as_string(hide_password=True), to=revision)
        _insert_all(folder, writing)
    finally:
        writing.dispose()
        if lock is not None:
            lock.release()


def _insert_all(folder: Path, writing: Engine) -> None:
    """Insert all rows in one transaction, by the tables as they were at that revision."""
    then = MetaData()
    then.reflect(writing)
    with _broken_is_damaged(), writing.begin() as connection:
        for table in then.sorted_tables:
            if table.name != migrate.VERSION_TABLE:
                _insert(connection, table, folder / f"{table.name}.jsonl")


def _insert(connection: Connection, table: Table, path: Path) -> None:
    rows = lines_of(path) if path.exists() else iter(())
    if table.name == schema.meta.name:
        rows = (row for row in rows if row["name"] != MARK)
    while some := list(islice(rows, _BATCH)):
        connection.execute(table.insert(), some)


def _settings(staged: Path, target: Path | None) -> tuple[str, ...]:
    names = []
    for path in sorted(staged.glob("*")) if target is not None else []:
        place = (target or staged) / path.name
        if not place.exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.rename(place)
            place.chmod(0o600)
            names.append(path.name)
    return tuple(names)
