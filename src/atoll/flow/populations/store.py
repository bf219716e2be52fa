"""A population's codes, members and log, in one SQLite file.

The serving process and commands beside it open it at once: each change is one short transaction,
so that a revocation counts with the next request.
"""

from __future__ import annotations

import hmac
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from atoll.channel.outbound.codes import SECRET_BYTES, secret_hash
from atoll.flow.populations import log
from atoll.jobs.errors import DeniedError, NotFoundError

HOURS = 24.0
MOST_MEMBERS = 1 << 20
_WAIT = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS codes (
    id TEXT PRIMARY KEY, hash BLOB NOT NULL, expires REAL NOT NULL, used REAL, key BLOB,
    number INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS members (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL, digest BLOB NOT NULL, agreement BLOB NOT NULL,
    code TEXT NOT NULL, joined REAL NOT NULL, ended REAL, reason TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS ended ON members (ended) WHERE ended IS NOT NULL;
"""


@dataclass(frozen=True)
class Member:
    """A member: SHA-256 of its key (DER), digest of its terms, when it joined and ended."""

    number: int
    key: bytes
    digest: bytes
    joined: float
    ended: float | None
    reason: str | None


class _Code(NamedTuple):
    hash: bytes
    expires: float
    used: float | None
    key: bytes | None
    number: int | None


class PopulationStore:
    """Opened by one thread. ``wall`` is the time of day in seconds since 1970."""

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._database = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA + log.SCHEMA)
        self._log = log.Log(self._database, wall)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def make_codes(self, hours: float = HOURS, count: int = 1) -> list[tuple[str, bytes, float]]:
        """Make codes; return each one's id, its secret (kept nowhere) and when it expires."""
        expires = self._wall() + hours * 3600
        made = [
            (secrets.token_hex(8), secrets.token_bytes(SECRET_BYTES), expires) for _ in range(count)
        ]
        with self._change() as database:
            database.executemany(
                "INSERT INTO codes (id, hash, expires) VALUES (?, ?, ?)",
                [(number, secret_hash(secret), expires) for number, secret, expires in made],
            )
            self._log.add("invited", log.person(), f"codes of {hours:g} hours", count=count)
        return made

    def check_code(self, number: str, secret: bytes) -> None:
        """Check that a code may still be used. Errors: ATL-POP-019, one for every reason."""
        row = self._code(number, secret)
        if row.used is not None or row.expires <= self._wall():
            raise _refused()

    def enrol(
        self,
        number: str,
        secret: bytes,
        key: bytes,
        digest: bytes,
        agreement: bytes,
        who: str = "unknown",
    ) -> Member:
        """Use a code up for a member with this key (SHA-256); the same key may ask again.

        ``who`` is where it asks from, for the log.

        Errors: ATL-POP-019, ATL-POP-020 the population is full.
        """
        with self._change() as database:
            row = self._code(number, secret)
            if row.used is not None:
                # The answer to the first request may have been lost.
                if row.key != key or row.number is None:
                    raise _refused()
                return self._still(row.number)
            if row.expires <= self._wall():
                raise _refused()
            count = self.count()
            if count >= MOST_MEMBERS:
                raise DeniedError("ATL-POP-020", "the population takes no more members")
            database.execute(
                "INSERT INTO members (number, key, digest, agreement, code, joined) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (count, key, digest, agreement, number, self._wall()),
            )
            database.execute(
                "UPDATE codes SET used = ?, key = ?, number = ? WHERE id = ?",
                (self._wall(), key, count, number),
            )
            self._log.add("joined", who, f"by the code {number}", count)
        return self.member(count)

    def member(self, number: int) -> Member:
        """Return a member, also one that ended. Errors: ATL-POP-004 there is none."""
        row = self._database.execute(
            "SELECT number, key, digest, joined, ended, reason FROM members WHERE number = ?",
            (number,),
        ).fetchone()
        if row is None:
            raise NotFoundError("ATL-POP-004", "this population has no such member")
        return Member(*row)

    def count(self) -> int:
        """Return how many members there ever were; they are numbered from 0."""
        found: int = self._database.execute("SELECT COUNT(*) FROM members").fetchone()[0]
        return found

    def members(self, limit: int, after: int = -1) -> list[Member]:
        """Return members by number, from the one after ``after`` on."""
        rows = self._database.execute(
            "SELECT number, key, digest, joined, ended, reason FROM members WHERE number > ? "
            "ORDER BY number LIMIT ?",
            (after, limit),
        ).fetchall()
        return [Member(*row) for row in rows]

    def ended(self, since: float = 0.0) -> tuple[list[int], float]:
        """Return the numbers of those that were removed or have left from a moment on, and the
        moment to ask from next.
        """
        query = "SELECT number, ended FROM members WHERE ended >= ?"
        rows = self._database.execute(query, (since,)).fetchall()
        return [row[0] for row in rows], max((row[1] for row in rows), default=since)

    def end(self, number: int, reason: str, who: str | None = None) -> None:
        """Take a member out for good; once more changes nothing. Errors: ATL-POP-004.

        ``who`` is where a member asks from that leaves by itself; without it the person that runs
        this process removes it.
        """
        self.member(number)
        with self._change() as database:
            done = database.execute(
                "UPDATE members SET ended = ?, reason = ? WHERE number = ? AND ended IS NULL",
                (self._wall(), reason, number),
            )
            if done.rowcount:
                what = "left" if who else "removed"
                self._log.add(what, who or log.person(), reason, number)

    def note(self, what: str, who: str, detail: str = "", member: int | None = None) -> None:
        """Add a line to the log."""
        with self._change():
            self._log.add(what, who, detail, member)

    def note_refused(self, refusals: log.Refusals) -> None:
        """Write what was refused since the last time."""
        found = refusals.take()
        if not found:
            return
        with self._change():
            for who, member, code, count in found:
                self._log.add("refused", who, code, member, count)

    def lines(self, limit: int, after: int = 0, what: str | None = None) -> list[log.Line]:
        """Return lines of the log: see ``Log.lines``."""
        return self._log.lines(limit, after, what)

    def _still(self, number: int) -> Member:
        found = self.member(number)
        if found.ended is not None:
            raise _refused()
        return found

    def _code(self, number: str, secret: bytes) -> _Code:
        row = self._database.execute(
            "SELECT hash, expires, used, key, number FROM codes WHERE id = ?", (number,)
        ).fetchone()
        # A code that is unknown takes as long as a wrong secret.
        known = bytes(32) if row is None else row[0]
        right = hmac.compare_digest(known, secret_hash(secret))
        if row is None or not right:
            raise _refused()
        return _Code(*row)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _refused() -> DeniedError:
    return DeniedError(
        "ATL-POP-019",
        "the code does not count: unknown, used or expired",
        hint="ask the aggregator's people for another one",
    )
