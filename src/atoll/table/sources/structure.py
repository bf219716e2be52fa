"""The structural check of CSV bytes, block by block, before any value is parsed.

It finds what a lenient parser would swallow: a quote that never closes or stands in the middle of
a field, short and long rows, wrong encodings, NUL bytes, lone carriage returns, endless fields. A
block holds whole records; what is left over is carried to the next, so memory stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.table.problems import Problem

Integers = npt.NDArray[np.int64]

_NEWLINE, _RETURN, _QUOTE = 0x0A, 0x0D, 0x22
_SLICE = 1 << 18


@dataclass(frozen=True)
class CsvLimits:
    """What a CSV file may ask for: bytes of a field and of a record, columns, bytes a block."""

    field_bytes: int = 1 << 20
    record_bytes: int = 16 << 20
    columns: int = 1 << 16
    block_bytes: int = 16 << 20


@dataclass
class Scan:
    """What was found in a block: whole records up to ``cut``, and problems in the order of rows.

    ``ends`` are the positions after each record's line end. ``fatal``: the records after the
    problem cannot be distinguished. ``sound``: how many records stand before the first problem.
    """

    cut: int
    ends: Integers
    fields: Integers
    quoted: bool = False
    problems: list[Problem] = field(default_factory=list)
    fatal: bool = False
    sound: int = 0

    @property
    def rows(self) -> int:
        """How many whole records there are."""
        return len(self.ends)

    @property
    def longest(self) -> int:
        """The bytes of the longest record."""
        return int(np.diff(self.ends, prepend=0).max(initial=0))


class _Block:
    """One look at a block; ``row`` and ``line`` number its first record."""

    def __init__(self, data: bytes, row: int, line: int, delimiter: int, limits: CsvLimits) -> None:
        self.data = data
        self.bytes = np.frombuffer(data, dtype=np.uint8)
        self.row = row
        self.line = line
        self.delimiter = delimiter
        self.limits = limits
        self.problems: list[Problem] = []
        self.fatal = False
        self.quotes: Integers = np.empty(0, dtype=np.int64)

    def scan(self, last: bool) -> Scan:
        """Split into records and check each."""
        quoted = b'"' in self.data
        at, kinds = self._marks(quoted)
        if quoted:
            at, kinds = self._outside_quotes(at, kinds)
        if last and len(self.data) and self.data[-1] != _NEWLINE:
            at = np.append(at, len(self.data))
            kinds = np.append(kinds, np.uint8(_NEWLINE))
        closing = np.flatnonzero(kinds == _NEWLINE)
        self.ends = np.minimum(at[closing] + 1, len(self.data))
        fields = np.diff(closing, prepend=-1)
        keep = self._without_trailing_blanks(fields)
        self.ends, fields = self.ends[:keep], fields[:keep]
        cut = int(self.ends[-1]) if keep else 0
        self._check_quotes(last)
        self._check_lengths(at, cut, last)
        self._check_bytes(cut)
        self.problems.sort(key=lambda problem: problem.row or 0)
        sound = (self.problems[0].row or 0) - self.row if self.problems else keep
        return Scan(cut, self.ends, fields, quoted, self.problems, self.fatal, min(sound, keep))

    def _marks(self, quoted: bool) -> tuple[Integers, npt.NDArray[np.uint8]]:
        """Return the positions and bytes of all delimiters, line ends and quotes."""
        found = []
        for start in range(0, len(self.bytes), _SLICE):
            piece = self.bytes[start : start + _SLICE]
            mask = piece == self.delimiter
            mask |= piece == _NEWLINE
            if quoted:
                mask |= piece == _QUOTE
            found.append(np.flatnonzero(mask) + start)
        at = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
        return at, self.bytes[at]

    def _outside_quotes(
        self, at: Integers, kinds: npt.NDArray[np.uint8]
    ) -> tuple[Integers, npt.NDArray[np.uint8]]:
        is_quote = kinds == _QUOTE
        self.quotes = at[is_quote]
        # Only the parity of the count matters, so eight bits that wrap around are enough.
        outside = ~is_quote & (np.cumsum(is_quote, dtype=np.uint8) & 1 == 0)
        return at[outside], kinds[outside]

    def _without_trailing_blanks(self, fields: Integers) -> int:
        """Count the records before the empty lines at the end, which belong to no row."""
        rest = self.data[int(self.ends[-1]) :] if len(self.ends) else b""
        if rest not in (b"", b"\r"):
            return len(fields)
        starts = np.concatenate(([0], self.ends[:-1])) if len(self.ends) else self.ends
        sizes = self.ends - starts
        single = fields == 1
        blank = single & (sizes == 1) & (self._byte(starts) == _NEWLINE)
        ended = self._byte(starts + 1) == _NEWLINE
        blank |= single & (sizes == 2) & (self._byte(starts) == _RETURN) & ended
        filled = np.flatnonzero(~blank)
        return int(filled[-1]) + 1 if len(filled) else 0

    def _byte(self, positions: Integers) -> npt.NDArray[np.uint8]:
        return self.bytes[np.minimum(positions, len(self.bytes) - 1)]

    def _check_quotes(self, last: bool) -> None:
        """A quote opens at the start of a field, closes at its end, and is doubled inside."""
        quotes = self.quotes
        if not len(quotes):
            return
        before = np.where(quotes > 0, self.bytes[quotes - 1], np.uint8(_NEWLINE))
        after = self._byte(quotes + 1)
        at_end = quotes + 1 == len(self.bytes)
        opening = np.arange(len(quotes)) % 2 == 0
        doubled = np.diff(quotes, prepend=-2) == 1
        bad_open = opening & ~self._is_edge(before) & ~doubled
        paired = np.append(doubled[1:], False)
        bad_close = ~opening & ~self._is_edge(after) & (after != _RETURN) & ~paired & ~at_end
        bad = np.flatnonzero(bad_open | bad_close)
        if len(bad):
            inside = bool(opening[bad[0]])
            message = (
                "a quote stands in the middle of a field"
                if inside
                else "text follows a closing quote, or a quote before it was never closed"
            )
            self._broken_quote(int(quotes[bad[0]]), message)
        elif last and len(quotes) % 2:
            self._broken_quote(int(quotes[-1]), "a quote is never closed")

    def _is_edge(self, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        edge: npt.NDArray[np.bool_] = (values == self.delimiter) | (values == _NEWLINE)
        return edge

    def _broken_quote(self, at: int, message: str) -> None:
        hint = 'put the whole field in quotes and double each quote inside it: "so ""called"""'
        self._fail("ATL-TAB-008", message, at, hint)

    def _check_lengths(self, at: Integers, cut: int, last: bool) -> None:
        limit = self.limits.field_bytes
        sizes = np.diff(at, prepend=-1) - 1
        if len(sizes) and sizes.max() > limit:
            self._too_long("a field", limit, int(at[np.argmax(sizes > limit)]) - 1)
            return
        records = np.diff(self.ends, prepend=0)
        if len(records) and records.max() > self.limits.record_bytes:
            first = int(np.argmax(records > self.limits.record_bytes))
            self._too_long("a row", self.limits.record_bytes, int(self.ends[first]) - 1)
            return
        tail = len(self.data) - (int(at[-1]) + 1 if len(at) else 0)
        if not last and tail > limit:
            self._too_long("a field", limit, len(self.data) - 1)
        elif not last and len(self.data) - cut > self.limits.record_bytes:
            self._too_long("a row", self.limits.record_bytes, len(self.data) - 1)

    def _too_long(self, what: str, limit: int, at: int) -> None:
        inside = int(np.searchsorted(self.quotes, at)) % 2 == 1
        hint = (
            "a quote opened in this row is not closed"
            if inside
            else "is this a CSV file with this delimiter? the limit can be raised"
        )
        self._fail("ATL-TAB-012", f"{what} is longer than {limit} bytes", at, hint)

    def _check_bytes(self, cut: int) -> None:
        zero = self.data.find(b"\0", 0, cut)
        if zero >= 0:
            hint = "the file is not plain UTF-8 text; UTF-16 files look like this"
            self._fail("ATL-TAB-010", "a NUL byte", zero, hint, fatal=False)
        if b"\r" in self.data:
            self._check_returns(cut)
        if not self.data.isascii():
            try:
                str(memoryview(self.data)[:cut], "utf-8")
            except UnicodeDecodeError as error:
                hint = "save the file as UTF-8"
                message = f"byte {error.start - self._start(error.start)} of the row is not UTF-8"
                self._fail("ATL-TAB-007", message, error.start, hint, fatal=False)

    def _check_returns(self, cut: int) -> None:
        returns = np.flatnonzero(self.bytes[:cut] == _RETURN)
        lone = returns[(self._byte(returns + 1) != _NEWLINE) | (returns + 1 == len(self.bytes))]
        lone = lone[np.searchsorted(self.quotes, lone) % 2 == 0]
        if len(lone):
            hint = "end rows with a line feed, or with carriage return and line feed"
            message = "a carriage return without line feed"
            self._fail("ATL-TAB-022", message, int(lone[0]), hint)

    def _start(self, at: int) -> int:
        index = int(np.searchsorted(self.ends, at, side="right"))
        return int(self.ends[index - 1]) if index else 0

    def _fail(self, code: str, message: str, at: int, hint: str, *, fatal: bool = True) -> None:
        row = self.row + int(np.searchsorted(self.ends, at, side="right"))
        line = self.line + self.data.count(b"\n", 0, self._start(at))
        self.problems.append(Problem(code, message, row, line=line, hint=hint))
        self.fatal = self.fatal or fatal


def scan_block(
    data: bytes, *, last: bool, row: int, line: int, delimiter: str, limits: CsvLimits
) -> Scan:
    """Look at one block that starts with a record; ``last``: the file ends with it.

    Problems: ATL-TAB-007 encoding, -008 quote, -010 NUL byte, -012 too long, -022 lone carriage
    return. The width of rows is for ``check_widths``, once the header is known.
    """
    return _Block(data, row, line, ord(delimiter), limits).scan(last)


def check_widths(
    data: bytes, scan: Scan, width: int, row: int, line: int, limit: int
) -> tuple[list[Problem], npt.NDArray[Any]]:
    """Return a problem for each row of another width (at most ``limit``), and which rows fit."""
    fits = scan.fields == width
    problems = []
    for at in np.flatnonzero(~fits)[:limit].tolist():
        start = int(scan.ends[at - 1]) if at else 0
        have = int(scan.fields[at])
        problems.append(
            Problem(
                "ATL-TAB-009",
                f"the row has {have} fields, the header {width}",
                row + at,
                line=line + data.count(b"\n", 0, start),
                hint="is a delimiter inside an unquoted field, or a field missing?",
            )
        )
    return problems, fits
