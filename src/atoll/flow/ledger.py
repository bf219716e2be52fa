"""The ledger: an append-only file in a party's folder of what was agreed to and revealed.

Each line is a JSON object with the hash of the line before it, so a change anywhere breaks every
later line; ``ledger.head`` beside it holds the last hash, so a cut end shows too. Nobody but the
party itself writes it: it protects against mistakes and silent edits, not against its owner.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atoll.flow.chain import START, holds, link
from atoll.jobs.errors import EnvironmentFault, TamperedError


class Ledger:
    """The ledger of one folder. Errors: ATL-JOB-011 broken chain, ATL-JOB-012 not writable."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.jsonl"
        self._head = folder / "ledger.head"

    def append(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Add one line and make it durable before returning. Errors: ATL-JOB-011, ATL-JOB-012."""
        self.extend([(kind, fields)])

    def extend(self, entries: list[tuple[str, Mapping[str, Any]]]) -> None:
        """Add several lines at once. Errors: ATL-JOB-011, ATL-JOB-012."""
        if not entries:
            return
        try:
            with self._locked(fcntl.LOCK_EX):
                self._write(entries)
        except OSError as error:
            raise EnvironmentFault(
                "ATL-JOB-012", f"the ledger cannot be written: {error.strerror}", place="ledger"
            ) from error

    def _write(self, entries: list[tuple[str, Mapping[str, Any]]]) -> None:
        number, previous = self._end()
        lines = []
        for kind, fields in entries:
            line = link({**fields, "kind": kind}, number, previous)
            lines.append(json.dumps(line, sort_keys=True))
            number, previous = number + 1, line["hash"]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        fresh = self._head.with_suffix(".new")
        fresh.write_text(f"{number} {previous}\n", encoding="ascii")
        fresh.replace(self._head)

    def _end(self) -> tuple[int, str]:
        """Return the number and hash to go on from, having checked the whole chain."""
        number, previous = 0, START
        for line in self._read():
            number, previous = line["number"] + 1, line["hash"]
        return number, previous

    def entries(self) -> Iterator[dict[str, Any]]:
        """Give the lines, each checked against the one before. Errors: ATL-JOB-011."""
        if not self.path.exists():
            return iter(self._read())
        with self._locked(fcntl.LOCK_SH):
            return iter(self._read())

    def _read(self) -> list[dict[str, Any]]:
        number, previous = 0, START
        head, seen = self._read_head(), False
        lines = []
        if self.path.exists():
            for text in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                line = self._checked(text, number, previous)
                number, previous = number + 1, line["hash"]
                seen = seen or head == (number, previous)
                lines.append(line)
        # A process that died between the two writes leaves the head behind, never ahead.
        if not seen and (number, head) != (0, None):
            raise self._broken(number)
        return lines

    def _checked(self, text: str, number: int, previous: str) -> dict[str, Any]:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict) or not holds(line, number, previous):
            raise self._broken(number + 1)
        return dict(line)

    def _read_head(self) -> tuple[int, str] | None:
        if not self._head.exists():
            return None
        words = self._head.read_text(encoding="ascii", errors="replace").split()
        if len(words) != 2 or not words[0].isdigit():
            raise self._broken(1)
        return int(words[0]), words[1]

    def _broken(self, line: int) -> TamperedError:
        return TamperedError(
            "ATL-JOB-011",
            "the ledger was changed after it was written",
            place=f"{self.path.name}, line {line}",
            hint="restore it from a copy; nothing runs in this folder until it is whole",
        )

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / "ledger.lock").open("a") as lock:
            fcntl.flock(lock, kind)
            yield
