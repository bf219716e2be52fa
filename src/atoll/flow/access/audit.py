"""The audit log: who did what, with which outcome; append-only and hash-chained.

A line for each change and each refusal, in the transaction of the change where there is one. It
holds names, codes and numbers, never a secret and never a value of a table.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from atoll.core.errors import InternalError
from atoll.flow.store.chain_table import ChainTable
from atoll.flow.store.database import Database
from atoll.flow.store.paging import MOST, Page
from atoll.flow.store.schema import audit

DONE = "done"
REFUSED = "refused"
FAILED = "failed"

_ACTOR, _ACTION, _TARGET, _TEXT, _ITEMS = 256, 128, 512, 256, 50
_FORBIDDEN = ("password", "secret", "token", "hash", "key", "code_value")
_DAMPED_SECONDS = 60.0
_DAMPED_LINES = 10
_DAMPED_SOURCES = 10_000

_CHAIN = ChainTable(audit, ("actor", "action", "target", "outcome"), "detail", "ATL-ACC-013")


class AuditLog:
    """The audit log of a node. Errors: ATL-ACC-013 a broken end, those of the database."""

    def __init__(self, database: Database, wall: Callable[[], float] = time.time) -> None:
        self._database = database
        self._wall = wall
        self._sources: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def record(
        self,
        connection: Connection,
        actor: str,
        action: str,
        target: str = "",
        outcome: str = DONE,
        **detail: Any,
    ) -> None:
        """Write a line inside the caller's transaction.

        ``actor`` is a user's name, ``anonymous``, ``system`` or ``party:<id>``; ``action`` reads
        ``thing.verb``. Errors: ATL-ACC-013, ATL-ACC-015 for a detail that looks like a secret.
        """
        words = {
            "actor": clean(actor, _ACTOR),
            "action": clean(action, _ACTION),
            "target": clean(target, _TARGET),
            "outcome": clean(outcome, 32),
        }
        _CHAIN.append(connection, self._wall(), [(words, _plain(detail))])

    def note(
        self, actor: str, action: str, target: str = "", outcome: str = DONE, **detail: Any
    ) -> None:
        """Write a line in a transaction of its own."""
        self._database.write(
            lambda connection: self.record(connection, actor, action, target, outcome, **detail)
        )

    def refused(
        self,
        actor: str,
        action: str,
        target: str = "",
        *,
        code: str,
        source: str = "",
        **detail: Any,
    ) -> None:
        """Write that something was refused. One ``source`` (a client's address, a user) gets so
        many lines a minute; the rest is reported as a number in its next line.
        """
        damped = self._damped(source or actor)
        if damped is None:
            return
        if damped:
            detail["left_out_before"] = damped
        self.note(actor, action, target, REFUSED, code=code, **detail)

    def _damped(self, source: str) -> int | None:
        """Return how many lines were left out before this one, or None to leave it out."""
        now = self._wall()
        with self._lock:
            started, count = self._sources.pop(source, (now, 0))
            if now - started >= _DAMPED_SECONDS:
                left, started, count = max(0, count - _DAMPED_LINES), now, 0
            else:
                left = 0
            while len(self._sources) >= _DAMPED_SOURCES:
                self._sources.pop(next(iter(self._sources)))
            self._sources[source] = (started, count + 1)
            return left if count < _DAMPED_LINES else None

    def page(
        self, after: str | None = None, limit: int = MOST, *, newest_first: bool = False
    ) -> Page[dict[str, Any]]:
        """Return a page of lines: number, time, actor, action, target, outcome, detail, hashes."""
        return self._database.read(
            lambda c: _CHAIN.page(c, after, limit, newest_first=newest_first)
        )

    def verify(self) -> int | None:
        """Return the number of the first broken line, None if the log is whole."""
        return self._database.read(_CHAIN.verify)


def clean(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters that shows as it is: no control characters."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])
    return shown if len(text) <= most else shown[: most - 1] + "…"


def _plain(detail: Mapping[str, Any]) -> dict[str, Any]:
    for name in detail:
        if any(word in name for word in _FORBIDDEN):
            raise InternalError("ATL-ACC-015", "a detail of the audit log looks like a secret")
    return {name: _value(value) for name, value in detail.items() if value is not None}


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return "<token>" if value.startswith("atoll_") else clean(value, _TEXT)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else list(value)
        return [_value(item) for item in items[:_ITEMS]]
    raise InternalError("ATL-ACC-015", f"a {type(value).__name__} does not belong in the audit log")
