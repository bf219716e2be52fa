"""Engines: how to reach each database, and what every new connection executes first."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from io import IOBase
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from atoll.core.errors import AtollError, UserError
from atoll.flow.store.values import refused, unfit
from atoll.jobs.errors import ConflictError, EnvironmentFault

DIALECTS = ("sqlite", "postgresql", "mysql", "mariadb")
_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+pg8000",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}
_BUSY_SECONDS = 2.0
_PAUSE_SECONDS = 0.05


def parse(url: str) -> URL:
    """Return the parts of an address, with the driver that we use. Errors: ATL-STO-001."""
    try:
        parts = make_url(url)
    except ArgumentError as error:
        raise _unusable("the address of the database cannot be read") from error
    name = parts.get_backend_name()
    if name not in DIALECTS:
        raise _unusable("there is no such kind of database here")
    if name == "sqlite" and parts.database in (None, "", ":memory:"):
        raise _unusable("a SQLite database needs a file")
    return parts.set(drivername=_DRIVERS[name])


def _unusable(message: str) -> UserError:
    return UserError(
        "ATL-STO-001",
        message,
        place="database.url",
        hint="sqlite:////folder/atoll.db, postgresql://user@host/name or mysql://user@host/name",
    )


def file_of(url: URL) -> Path | None:
    """Return the file of a SQLite database, None for a server."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def make_engine(
    url: URL, *, writer: bool, readers: int = 8, busy_seconds: float = _BUSY_SECONDS
) -> Engine:
    """Make the engine of the writer (one connection) or of the readers. Errors: ATL-STO-013."""
    options: dict[str, Any] = {"hide_parameters": True}
    if writer:
        options |= {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
    else:
        options |= {"poolclass": QueuePool, "pool_size": readers, "max_overflow": 4 * readers}
    options |= {"pool_timeout": 30.0}
    name = url.get_backend_name()
    if name == "sqlite":
        options["connect_args"] = {"timeout": busy_seconds, "check_same_thread": False}
    else:
        options |= {"pool_pre_ping": True, "pool_recycle": -1 if writer else 3600}
        options["connect_args"] = _patience(name)
    try:
        engine = create_engine(url, **options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise EnvironmentFault(
            "ATL-STO-013",
            f"the driver for {name} is not installed",
            hint=f"pip install 'atoll[{_EXTRAS.get(name, name)}]'",
        ) from error
    _prepare(engine, name, writer=writer, busy_seconds=busy_seconds)
    return engine


def _patience(name: str) -> dict[str, Any]:
    if name == "postgresql":
        return {"timeout": 60, "application_name": "atoll"}
    return {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60, "charset": "utf8mb4"}


def _prepare(engine: Engine, name: str, *, writer: bool, busy_seconds: float) -> None:
    _check_values(engine)
    if name == "sqlite":
        _prepare_sqlite(engine, writer=writer)
    elif name == "postgresql":
        _on_connect(engine, *_POSTGRES_SESSION, *(() if writer else _POSTGRES_READER))
    else:
        _on_connect(engine, *_MARIADB_SESSION, *(() if writer else _MARIADB_READER))
    if name != "sqlite":
        _name_broken_links(engine)
    if writer and name != "sqlite":
        lock = _POSTGRES_LOCK if name == "postgresql" else _MARIADB_LOCK
        _lock_on_connect(engine, lock, busy_seconds)


_SQLITE_SESSION = (
    "PRAGMA foreign_keys=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cache_size=-2000",
)
_SQLITE_WRITER = (
    # Only a file without tables takes this; it lets prune give pages back.
    "PRAGMA auto_vacuum=INCREMENTAL",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA journal_size_limit=67108864",
)
_SQLITE_READER = ("PRAGMA query_only=ON",)
_POSTGRES_SESSION = ("SET TIME ZONE 'UTC'", "SET lock_timeout = '10s'")
_POSTGRES_READER = (
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
)
_MARIADB_SESSION = (
    "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION innodb_lock_wait_timeout=10",
)
_MARIADB_READER = ("SET SESSION TRANSACTION READ ONLY",)
# Held as long as the writer's connection lives, so that no second node writes to this database.
_POSTGRES_LOCK = "SELECT pg_try_advisory_lock(7233176049106611)"
_MARIADB_LOCK = "SELECT GET_LOCK(CONCAT('atoll writer ', SHA1(DATABASE())), 0)"


class SecondWriter(ConflictError):
    """Another process has the writer's lock on a database server."""


def _lock_on_connect(engine: Engine, statement: str, seconds: float) -> None:
    def attempt(connection: Any) -> bool:
        cursor = connection.cursor()
        cursor.execute(statement)
        taken = bool(cursor.fetchone()[0])
        cursor.close()
        connection.commit()
        return taken

    def connected(connection: Any, record: Any) -> None:
        # The server lets go of a closed connection's lock a moment after it was closed.
        until = time.monotonic() + seconds
        while not (taken := attempt(connection)) and time.monotonic() < until:
            time.sleep(_PAUSE_SECONDS)
        if not taken:
            connection.close()
            raise SecondWriter(
                "ATL-STO-007",
                "the database is open for writing in another process",
                place=engine.url.render_as_string(hide_password=True),
                hint="each node needs a database of its own; stop the other node first",
            )

    event.listen(engine, "connect", connected)


def _on_connect(engine: Engine, *statements: str) -> None:
    def connected(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    event.listen(engine, "connect", connected)


def _name_broken_links(engine: Engine) -> None:
    """Have bare socket errors (pg8000 lets them through) count as lost connections."""
    dialect = engine.dialect
    ask, end = dialect.do_ping, dialect.do_close

    def ping(connection: Any) -> bool:
        try:
            return ask(connection)
        except OSError:
            return False

    def close(connection: Any) -> None:
        # pg8000 lets its socket's file go unclosed where the farewell fails.
        file = getattr(connection, "_sock", None)
        with suppress(OSError, dialect.loaded_dbapi.Error):
            end(connection)
        if isinstance(file, IOBase):
            with suppress(OSError):
                file.close()

    def failed(context: ExceptionContext) -> None:
        error = context.original_exception
        if not isinstance(error, dialect.loaded_dbapi.Error | AtollError):
            # The driver was interrupted within a message: the connection cannot be used any more.
            context.is_disconnect = True
        if isinstance(error, ConnectionError | TimeoutError):
            lost = InterfaceError("the connection broke", None, error, connection_invalidated=True)
            raise lost from error

    dialect.do_ping = ping  # type: ignore[assignment, method-assign]
    dialect.do_close = close  # type: ignore[assignment, method-assign]
    event.listen(engine, "handle_error", failed)


def _check_values(engine: Engine) -> None:
    """Refuse, before a driver sees it, what one of the databases would not take."""

    def about_to_run(
        connection: Connection, cursor: Any, statement: str, values: Any, context: Any, many: bool
    ) -> None:
        for row in values if many else (values,):
            for value in row.values() if isinstance(row, dict) else row or ():
                fault = unfit(value)
                if fault:
                    raise refused("a value of a query", fault)

    event.listen(engine, "before_cursor_execute", about_to_run)


def _prepare_sqlite(engine: Engine, *, writer: bool) -> None:
    statements = _SQLITE_SESSION + (_SQLITE_WRITER if writer else _SQLITE_READER)
    begin = "BEGIN IMMEDIATE" if writer else "BEGIN"

    def connected(connection: Any, record: Any) -> None:
        # The driver must not begin transactions by its own rules: BEGIN is sent here, also before
        # DDL.
        connection.isolation_level = None
        for statement in statements:
            connection.execute(statement).close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", on_begin)


def touch(path: Path) -> None:
    """Make the database's file readable by its owner only. Errors: ATL-STO-001."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise EnvironmentFault(
            "ATL-STO-001",
            f"the database file cannot be opened: {error.strerror}",
            place=str(path),
            hint="check that the folder exists and belongs to the node's user",
        ) from error
