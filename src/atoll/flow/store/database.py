"""A node's database: many readers, one writer, SQLite or a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from atoll.core.errors import InternalError, UserError
from atoll.flow.store import engine as engines
from atoll.flow.store import migrate
from atoll.flow.store.driver_errors import DAMAGED, translate
from atoll.flow.store.lock import FileLock
from atoll.flow.store.notify import Notifier
from atoll.flow.store.writer import Writer
from atoll.jobs.errors import ConflictError, EnvironmentFault

T = TypeVar("T")
_SMALL = 64 << 20
_LAST_READERS_SECONDS = 5.0


class Database:
    """Reads from any thread, writes through one.

    ``open`` takes the lock of a SQLite file (on a server: an advisory lock) and runs missing
    migrations. ``read`` sees one consistent snapshot; ``write`` returns after the commit.
    What is handed to ``write`` may run twice and must change nothing but the database.

    Errors: ATL-STO-001 cannot be opened, ATL-STO-002 locked, ATL-STO-003 lost, ATL-STO-004 disk
    full, ATL-STO-005 read-only, ATL-STO-006 damaged, ATL-STO-007 open in another process,
    ATL-STO-008 made by a newer program, ATL-STO-009 needs a migration.
    """

    def __init__(
        self, url: URL, readers: Engine, writing: Engine | None, lock: FileLock | None
    ) -> None:
        self.url = url
        self.dialect = readers.dialect.name
        self.file = engines.file_of(url)
        self.place = str(self.file or url.render_as_string(hide_password=True))
        self._readers = readers
        self._writing = writing
        self._lock = lock
        self._writer: Writer | None = None
        self.notifier = Notifier()
        self.closed = False
        self._guard = threading.Condition()
        self._reading = 0

    @classmethod
    def open(
        cls, url: str, *, migrations: bool = True, retry_seconds: float = 10.0, readers: int = 8
    ) -> Database:
        """Open for reading and writing; ``migrations`` False refuses an old schema instead."""
        parts = engines.parse(url)
        file = engines.file_of(parts)
        lock = None if file is None else FileLock(file.with_name(file.name + ".lock"))
        dirty = False
        if file is not None and lock is not None:
            engines.touch(file)
            dirty = lock.acquire()
        busy = min(retry_seconds / 2, 2.0)
        writing = engines.make_engine(parts, writer=True, busy_seconds=busy)
        reading = engines.make_engine(parts, writer=False, readers=readers)
        database = cls(parts, reading, writing, lock)
        try:
            database._check(dirty=dirty)
            if migrations:
                migrate.upgrade(writing, database.place)
            database._require_current()
            database._writer = Writer(writing, database.place, retry_seconds=retry_seconds)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open_reading(cls, url: str) -> Database:
        """Open for reading only, beside a process that writes."""
        parts = engines.parse(url)
        file = engines.file_of(parts)
        if file is not None and not file.is_file():
            raise EnvironmentFault("ATL-STO-001", "there is no database file", place=str(file))
        database = cls(parts, engines.make_engine(parts, writer=False), None, None)
        try:
            database._require_current()
        except BaseException:
            database.close()
            raise
        return database

    def read(self, function: Callable[[Connection], T]) -> T:
        """Run ``function`` on a snapshot of its own, in the caller's thread."""
        with self._guard:
            if self.closed:
                raise InternalError("ATL-STO-017", "the database is closed")
            self._reading += 1
        try:
            with self._readers.connect() as connection:
                return function(connection)
        except (SQLAlchemyError, OSError) as error:
            raise translate(error, self.place) from error
        finally:
            with self._guard:
                self._reading -= 1
                self._guard.notify_all()

    def write(self, function: Callable[[Connection], T]) -> T:
        """Run ``function`` inside a transaction on the writer's thread; return when committed."""
        return self.submit(function).result()

    def submit(self, function: Callable[[Connection], T], *, patient: bool = False) -> Future[T]:
        """As ``write``, without waiting; writes are done in the order they were submitted.

        A ``patient`` one may be held back for a tenth of a second, to share others' commit.
        """
        if self._writer is None:
            raise InternalError("ATL-STO-017", "this database is open for reading only, or closed")
        return self._writer.submit(function, patient=patient)

    @contextmanager
    def published(self) -> Iterator[None]:
        """Enter once the hooks of all that a reader may have seen are done."""
        with self._writer.publishing if self._writer else nullcontext():
            yield

    @property
    def waiting(self) -> int:
        """How many writes wait for the writer."""
        return self._writer.waiting if self._writer else 0

    @property
    def commits(self) -> int:
        """How many transactions were committed since it was opened."""
        return self._writer.commits if self._writer else 0

    def close(self) -> None:
        """Finish the queued writes and let go of everything; more than once does no harm."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        with self._guard:
            self.closed = True
            self.notifier.notify_all()
            # A connection that comes back after the pool is emptied would stay open.
            self._guard.wait_for(lambda: self._reading == 0, _LAST_READERS_SECONDS)
        self._readers.dispose()
        if self._writing is not None:
            self._writing.dispose()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_current(self) -> None:
        if self.read(migrate.needed):
            raise ConflictError(
                "ATL-STO-009",
                "the database has an older form than this program needs",
                place=self.place,
                hint="run: atoll admin migrate",
            )

    def _check(self, *, dirty: bool) -> None:
        """See that a file is whole and writable: always a small one, a large one after a crash."""
        if self._writing is None:
            return
        try:
            with self._writing.begin() as connection:
                if self.file is None:
                    _require_mariadb(connection)
                elif dirty or self.file.stat().st_size < _SMALL:
                    _quick_check(connection, self.place)
        except SQLAlchemyError as error:
            raise translate(error, self.place) from error


def _require_mariadb(connection: Connection) -> None:
    """Refuse MySQL, which lacks the collation by which our names compare. Errors: ATL-STO-001."""
    if connection.dialect.name == "mysql" and not getattr(connection.dialect, "is_mariadb", False):
        raise UserError(
            "ATL-STO-001",
            "MySQL itself is not supported",
            place="database.url",
            hint="use MariaDB 10.6 or newer, PostgreSQL, or SQLite",
        )


def _quick_check(connection: Connection, place: str) -> None:
    if connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() != "ok":
        raise EnvironmentFault(DAMAGED.code, DAMAGED.message, place=place, hint=DAMAGED.hint)
