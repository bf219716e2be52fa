"""What happened in a population, in its SQLite file: who did what, and when.

Lines are added and never changed. Who was made a member, left or was removed stays for good, at
most two lines a member; of all else the oldest lines go once there are more than ``BOUNDS``.
"""

from __future__ import annotations

import getpass
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

# Lines of each kind that may be thinned.
BOUNDS = {"refused": 10_000, "invited": 100_000, "renewed": 100_000, "round": 100_000}
BOUNDS["served"] = 10_000
DETAIL_CHARACTERS = 500
# Refusals are written together: a line for each that must reach the disk would be a way to
# keep the server busy.
MOST_REFUSERS = 200
OTHERS = "others"
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, what TEXT NOT NULL, who TEXT NOT NULL,
    member INTEGER, detail TEXT NOT NULL, count INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS log_what ON log (what, id);
CREATE TRIGGER IF NOT EXISTS log_unchanged BEFORE UPDATE ON log
BEGIN SELECT RAISE(ABORT, 'lines of the log are not changed'); END;
CREATE TRIGGER IF NOT EXISTS log_kept BEFORE DELETE ON log
WHEN OLD.what NOT IN ({", ".join(f"'{what}'" for what in BOUNDS)})
BEGIN SELECT RAISE(ABORT, 'this line of the log stays'); END;
"""


class Line(NamedTuple):
    """One line. ``who`` did it; ``member`` is whom it is about; it happened ``times`` times."""

    number: int
    at: float
    what: str
    who: str
    member: int | None
    detail: str
    times: int


class Log:
    """The log of an open database; the caller's transaction holds each line."""

    def __init__(self, database: sqlite3.Connection, wall: Callable[[], float]) -> None:
        self._database, self._wall = database, wall

    def add(
        self, what: str, who: str, detail: str = "", member: int | None = None, count: int = 1
    ) -> None:
        """Add a line, and thin its kind."""
        self._database.execute(
            "INSERT INTO log (at, what, who, member, detail, count) VALUES (?, ?, ?, ?, ?, ?)",
            (self._wall(), what, who, member, detail[:DETAIL_CHARACTERS], count),
        )
        if what in BOUNDS:
            self._database.execute(
                "DELETE FROM log WHERE what = ? AND id <= (SELECT id FROM log WHERE what = ? "
                "ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (what, what, BOUNDS[what]),
            )

    def lines(self, limit: int, after: int = 0, what: str | None = None) -> list[Line]:
        """Return lines in their order from the one after ``after`` on; ``what``: of one kind."""
        rows = self._database.execute(
            "SELECT id, at, what, who, member, detail, count FROM log "
            "WHERE id > ? AND (? IS NULL OR what = ?) ORDER BY id LIMIT ?",
            (after, what, what, limit),
        ).fetchall()
        return [Line(*row) for row in rows]


class Refusals:
    """Counts refusals by who was refused and with which code, until they are written."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int | None, str]] = Counter()

    def note(self, who: str, member: int | None, code: str) -> None:
        """Count one."""
        key = who, member, code
        if key not in self._counts and len(self._counts) >= MOST_REFUSERS:
            key = OTHERS, None, code
        self._counts[key] += 1

    def take(self) -> list[tuple[str, int | None, str, int]]:
        """Return what was counted, and begin again."""
        found = [(*key, count) for key, count in self._counts.items()]
        self._counts.clear()
        return found


def person() -> str:
    """Return who runs this process, by the machine's name for them."""
    try:
        return f"user {getpass.getuser()}"
    except (KeyError, OSError):
        return f"user {os.getuid()}"
