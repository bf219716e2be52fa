"""The writer: one thread that owns the only writing connection, and a queue of closures.

Closures that wait together are committed together (one ``fsync`` for many); patient ones, which
no caller waits for, are held back a moment for others to come. If one of them fails,
all are done again, each behind a savepoint of its own, so that it undoes nothing of its neighbours;
and if that fails too, one by one. So a closure may run more than once (a failing neighbour, a lock,
a lost connection): it must change nothing but the database.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.exc import SQLAlchemyError

from atoll.core.errors import InternalError
from atoll.flow.store import schema
from atoll.flow.store.driver_errors import CONFLICT, LOCKED, error_of, fault_of, translate
from atoll.flow.store.engine import SecondWriter

_LOG = logging.getLogger(__name__)
_BATCH = 64
_MOST_WAITING = 20_000
_HOOKS = "atoll.after_commit"
MARK = "last write"
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5
_PATIENCE = 0.1


@dataclass
class _Wish:
    function: Callable[[Connection], Any]
    future: Future[Any]
    patient: bool = False
    hooks: list[Callable[[], None]] = field(default_factory=list)
    result: Any = None
    error: BaseException | None = None


def after_commit(connection: Connection, hook: Callable[[], None]) -> None:
    """Have ``hook`` called when this transaction is committed; it must be quick.

    A reader may find what was committed a moment before; one that enters ``Database.published``
    next finds what the hook did, too.
    """
    hooks = connection.info.get(_HOOKS)
    if hooks is None:
        raise InternalError("ATL-STO-017", "a hook for a commit was given outside of a write")
    hooks.append(hook)


class Writer:
    """Runs closures one after the other. Errors: as ``faults``, ATL-STO-017 closed or nested."""

    def __init__(self, engine: Engine, place: str, *, retry_seconds: float) -> None:
        self._engine = engine
        self._place = place
        self._retry_seconds = retry_seconds
        self._marks = engine.dialect.name != "sqlite"
        self._queue: queue.SimpleQueue[_Wish | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._closed = False
        self.commits = 0
        # Held from before a commit until its hooks are done.
        self.publishing = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="atoll-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many closures wait."""
        return self._queue.qsize()

    def submit(
        self, function: Callable[[Connection], Any], *, patient: bool = False
    ) -> Future[Any]:
        """Queue a closure; its result or error comes through the future, after the commit."""
        if threading.current_thread() is self._thread:
            raise InternalError(
                "ATL-STO-017",
                "a write was asked for inside a write",
                hint="hand the connection on instead",
            )
        wish = _Wish(function, Future(), patient)
        with self._guard:
            if self._closed:
                raise InternalError("ATL-STO-017", "the database is closed")
            if self._queue.qsize() >= _MOST_WAITING:
                raise error_of(LOCKED, self._place)
            self._queue.put(wish)
        return wish.future

    def close(self) -> None:
        """Finish what is queued, then end the thread."""
        with self._guard:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            batch = self._gathered()
            going = batch[-1] is not None
            live = [wish for wish in batch if wish is not None]
            if live:
                self._serve(live)

    def _gathered(self) -> list[_Wish | None]:
        """Return what is to be committed together; None comes last, and means the end."""
        batch = [self._queue.get()]
        until = time.monotonic() + _PATIENCE
        while len(batch) < _BATCH and (last := batch[-1]) is not None:
            left = until - time.monotonic()
            try:
                if last.patient and left > 0:
                    batch.append(self._queue.get(timeout=left))
                else:
                    batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _serve(self, batch: list[_Wish]) -> None:
        live = [wish for wish in batch if wish.future.set_running_or_notify_cancel()]
        if live and not self._served(live) and not self._served(live, savepoints=True):
            for wish in live:
                self._served([wish])
        for wish in live:
            self._answer(wish)

    def _served(self, batch: list[_Wish], *, savepoints: bool = False) -> bool:
        """Commit these closures; return whether each now has its result or its error."""
        try:
            self._settle(batch, savepoints=savepoints)
        except _Apart:
            return False
        except BaseException as error:
            for wish in batch:
                wish.error = error
        return True

    def _settle(self, batch: list[_Wish], *, savepoints: bool) -> None:
        """Commit these closures together, trying again while that may help."""
        deadline = time.monotonic() + self._retry_seconds
        pause = _FIRST_PAUSE
        marks: set[str] = set()
        while True:
            try:
                self._transaction(batch, marks, savepoints=savepoints)
            except SecondWriter:
                # A server may hold a lost connection's lock for longer than the engine waits.
                if time.monotonic() > deadline:
                    raise
            except (SQLAlchemyError, OSError) as error:
                fault = fault_of(error)
                if len(batch) > 1 and not fault.lost:
                    raise _Apart from error
                if not fault.retry or time.monotonic() > deadline:
                    raise translate(error, self._place) from error
            except Exception as error:
                if len(batch) > 1:
                    raise _Apart from error
                raise
            else:
                self.commits += 1
                return
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _transaction(self, batch: list[_Wish], marks: set[str], *, savepoints: bool) -> None:
        with ExitStack() as published:
            with self._engine.begin() as connection:
                # If it is there, the connection was lost after the server had committed.
                if not marks or _last_mark(connection) not in marks:
                    self._run_all(connection, batch, savepoints=savepoints)
                    if self._marks:
                        mark = secrets.token_hex(8)
                        _set_mark(connection, mark)
                        marks.add(mark)
                published.enter_context(self.publishing)
            for wish in batch:
                _call_hooks(wish)

    @staticmethod
    def _run_all(connection: Connection, batch: list[_Wish], *, savepoints: bool) -> None:
        for wish in batch:
            wish.hooks, wish.error = [], None
            connection.info[_HOOKS] = wish.hooks
            try:
                _run(connection, wish, savepoint=savepoints)
            finally:
                connection.info.pop(_HOOKS, None)

    @staticmethod
    def _answer(wish: _Wish) -> None:
        if wish.error is not None:
            wish.future.set_exception(wish.error)
        else:
            wish.future.set_result(wish.result)


def _call_hooks(wish: _Wish) -> None:
    for hook in () if wish.error is not None else wish.hooks:
        try:
            hook()
        except Exception:
            # The transaction stands; and this thread serves all callers.
            _LOG.exception("what was to follow a commit failed")


class _Apart(Exception):
    """The closures of this batch cannot be done together in this way."""


def _run(connection: Connection, wish: _Wish, *, savepoint: bool) -> None:
    if not savepoint:
        wish.result = wish.function(connection)
        return
    try:
        with connection.begin_nested():
            wish.result = wish.function(connection)
    except SQLAlchemyError as error:
        if fault_of(error) is not CONFLICT:
            raise
        wish.error = translate(error)
    except BaseException as error:
        wish.error = error


def _last_mark(connection: Connection) -> str | None:
    mine = select(schema.meta.c.value).where(schema.meta.c.name == MARK)
    return connection.execute(mine).scalar_one_or_none()


def _set_mark(connection: Connection, mark: str) -> None:
    table = schema.meta
    changed = connection.execute(update(table).where(table.c.name == MARK).values(value=mark))
    if changed.rowcount == 0:
        connection.execute(table.insert().values(name=MARK, value=mark))
