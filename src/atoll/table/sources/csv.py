"""CSV in and out. Types are never guessed: the id is read as bytes, everything else as float64."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from atoll.core.errors import InternalError, UserError
from atoll.core.files import atomic_output
from atoll.core.limits import Limits
from atoll.table.convert import with_text_ids
from atoll.table.engines import Engine
from atoll.table.ingest import Intake, Layout, check_names
from atoll.table.problems import Problem, Sink, raise_first
from atoll.table.sources.files import open_input, read_block
from atoll.table.sources.structure import CsvLimits, Scan, check_widths, scan_block
from atoll.table.table import Table

MISSING = (
    *("", "NA", "N/A", "#N/A", "n/a", "na", "<NA>", "NaN", "nan", "NAN", "-nan", "-NaN"),
    *("null", "NULL", "Null", "None", "none", "NONE", "nil", "?"),
)

_BOM = b"\xef\xbb\xbf"
_FOREIGN_BOMS = (b"\xff\xfe", b"\xfe\xff")
_NUMBER = r"^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|(?i:inf|infinity|nan))$"


@dataclass(frozen=True)
class Block:
    """Whole records of a file that passed the structural check; ``row`` numbers the first."""

    data: bytes
    row: int
    rows: int
    quoted: bool
    longest: int
    numbers: Any = None


class Reader:
    """Reads the header, then yields blocks; problems go to ``sink``, which may raise.

    After a problem that leaves no records to distinguish the iteration ends. ``had_bom`` and
    ``rows`` (data rows seen so far) are facts for a check report.
    """

    def __init__(
        self, stream: Any, *, delimiter: str, limits: CsvLimits, sink: Sink, most: int = 1
    ) -> None:
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
            raise UserError("ATL-TAB-021", "a delimiter is one ASCII character other than a quote")
        self._stream = stream
        self._delimiter = delimiter
        self._limits = limits
        self._sink = sink
        self._most = most
        self.header: list[str] = []
        self.had_bom = False
        self.rows = 0

    def __iter__(self) -> Iterator[Block]:
        carry, row, line, last = b"", 1, 1, False
        while not last:
            chunk = read_block(self._stream, self._limits.block_bytes)
            last = len(chunk) < self._limits.block_bytes
            data = carry + chunk
            if row == 1 and not self.header:
                if not self._is_utf8(data):
                    return
                data = data.removeprefix(_BOM)
            scan = scan_block(
                data,
                last=last,
                row=row,
                line=line,
                delimiter=self._delimiter,
                limits=self._limits,
            )
            block = self._block(data, scan, row, line)
            if block is not None and block.rows:
                yield block
            if scan.fatal or (scan.rows and not self.header):
                return
            row += scan.rows
            line += data.count(b"\n", 0, scan.cut) if scan.quoted else scan.rows
            carry = data[scan.cut :]
        if not self.header:
            message = "the file has no header and no rows"
            self._sink(Problem("ATL-TAB-017", message, hint="is it the right file?"))

    def _is_utf8(self, data: bytes) -> bool:
        """Look at the byte order mark: that of UTF-8 is accepted, others are refused."""
        if data.startswith(_FOREIGN_BOMS):
            message = "the file is UTF-16 or UTF-32, not UTF-8"
            self._sink(Problem("ATL-TAB-007", message, 1, hint="save the file as UTF-8"))
            return False
        self.had_bom = data.startswith(_BOM)
        return True

    def _block(self, data: bytes, scan: Scan, row: int, line: int) -> Block | None:
        skip = 0
        if scan.rows and not self.header and (scan.sound or not scan.fatal):
            if not self._take_header(data[: int(scan.ends[0])], int(scan.fields[0])):
                return None
            skip = 1
        problems, fits = self._widths(data, scan, row, line)
        for problem in problems:
            self._sink(problem)
        self.rows += max(scan.rows - skip, 0)
        fits[:skip] = False
        fits[scan.sound :] = False
        if not fits.any():
            return None
        if fits[skip:].all():
            start = int(scan.ends[0]) if skip else 0
            whole = data[start : scan.cut]
            return Block(whole, row + skip, scan.rows - skip, scan.quoted, scan.longest)
        sizes = np.diff(scan.ends, prepend=0)
        kept = np.frombuffer(data, np.uint8, scan.cut)[np.repeat(fits, sizes)].tobytes()
        numbers = np.flatnonzero(fits) + row
        return Block(kept, row, len(numbers), scan.quoted, scan.longest, numbers)

    def _widths(self, data: bytes, scan: Scan, row: int, line: int) -> tuple[list[Problem], Any]:
        """Return the problems of the block in the order of rows, and which rows have the width."""
        problems, fits = list(scan.problems), np.ones(scan.rows, dtype=np.bool_)
        if self.header:
            width = len(self.header)
            wrong, fits = check_widths(data, scan, width, row, line, self._most)
            # Behind a broken quote the fields cannot be counted.
            end = min((p.row or 0 for p in problems if scan.fatal), default=None)
            problems += [p for p in wrong if end is None or (p.row or 0) < end]
            problems.sort(key=lambda problem: problem.row or 0)
        return problems, fits

    def _take_header(self, record: bytes, width: int) -> bool:
        if width > self._limits.columns:
            message = f"more than {self._limits.columns} columns"
            self._sink(Problem("ATL-TAB-018", message, 1, hint="is the delimiter right?"))
            return False
        try:
            text = record.decode().rstrip("\r\n")
            names = next(csv.reader([text], delimiter=self._delimiter, strict=True))
        except UnicodeDecodeError:
            return False  # Reported already.
        except csv.Error:
            self._sink(Problem("ATL-TAB-011", "the header cannot be read", 1))
            return False
        self.header = [name.strip(" \t") for name in names]
        return check_names(self.header, self._sink, 1)


def parse(
    block: Block,
    header: Sequence[str],
    taken: Sequence[str],
    id_name: str,
    delimiter: str,
    sink: Sink,
) -> Any:
    """Parse the values of a block: one record batch, the id as bytes, the rest as float64.

    Problems: ATL-TAB-013, the first of each column; where the sink goes on, the value is null.
    """
    numbers = [name for name in taken if name != id_name]
    types = {id_name: pa.binary(), **dict.fromkeys(numbers, pa.float64())}
    try:
        table = _arrow(block, header, taken, types, delimiter)
    except pa.ArrowInvalid:
        # The message of Arrow quotes the value, so it goes no further.
        types.update(dict.fromkeys(numbers, pa.string()))
        table = _converted(_arrow(block, header, taken, types, delimiter), numbers, block, sink)
    if table.num_rows != block.rows:
        raise InternalError("ATL-TAB-027", "the structural check and the parser count other rows")
    return table.combine_chunks().to_batches()[0]


def _converted(table: Any, numbers: Sequence[str], block: Block, sink: Sink) -> Any:
    """Convert text to numbers with care for white space, and find what is no number."""
    problems = []
    for name in numbers:
        text = pc.ascii_trim_whitespace(table.column(name))
        missing = pc.is_in(text, value_set=pa.array(MISSING))
        wrong = pc.invert(pc.or_(pc.match_substring_regex(text, _NUMBER), missing))
        if pc.any(wrong, min_count=0).as_py():
            at = int(np.argmax(wrong.to_numpy()))
            row = block.row + at if block.numbers is None else int(block.numbers[at])
            hint = "features are numbers: encode text first, or choose the columns to read"
            problems.append(Problem("ATL-TAB-013", "a value is not a number", row, name, hint=hint))
        kept = pc.if_else(pc.or_(missing, wrong), pa.scalar(None, pa.string()), text)
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, kept.cast(pa.float64()))
    for problem in sorted(problems, key=lambda problem: problem.row or 0):
        sink(problem)
    return table


def _arrow(
    block: Block, header: Sequence[str], taken: Sequence[str], types: dict[str, Any], delimiter: str
) -> Any:
    return arrow_csv.read_csv(
        pa.BufferReader(pa.py_buffer(block.data)),
        read_options=arrow_csv.ReadOptions(
            column_names=list(header), block_size=max(1 << 20, 2 * block.longest)
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter,
            quote_char='"',
            double_quote=True,
            escape_char=False,
            newlines_in_values=block.quoted,
            ignore_empty_lines=False,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types,
            include_columns=list(taken),
            null_values=list(MISSING),
            strings_can_be_null=False,
            quoted_strings_can_be_null=True,
            check_utf8=False,
        ),
    )


def read_csv(
    path: str | os.PathLike[str],
    *,
    id_column: str = "id",
    label: str | None = None,
    columns: Sequence[str] | None = None,
    delimiter: str = ",",
    limits: Limits | None = None,
    csv_limits: CsvLimits | None = None,
    engine: Engine | None = None,
) -> Table:
    """Read a CSV file with a header, in UTF-8, into a table; the first problem ends it.

    ``columns`` chooses the features (None: all but id and label). Missing values are empty or one
    of ``MISSING``. Errors: ATL-TAB-001 unreadable, -002 missing column, -003…-005 bad id, -007
    encoding, -008 quote, -009 width of a row, -010 NUL, -011 header, -012 too long, -013 not a
    number, -014 infinite, -015 label missing, -017 empty, -018 too large, -022 line ends.
    """
    chosen = None if columns is None else tuple(columns)
    source = os.fspath(path)
    sink = raise_first(os.path.basename(source))
    intake = Intake(Layout(id_column, label, chosen), limits or Limits(), sink, first_row=2)
    with open_input(source) as stream:
        reader = Reader(stream, delimiter=delimiter, limits=csv_limits or CsvLimits(), sink=sink)
        for block in reader:
            taken = intake.layout.chosen(reader.header, sink)
            intake.add(parse(block, reader.header, [id_column, *taken], id_column, delimiter, sink))
    if reader.header:
        intake.layout.chosen(reader.header, sink)
    # The header is row 1.
    return Table(intake.finish(), id_column, label, engine, first_row=2)


def write_csv(table: Table, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV, whole or not at all; missing values are empty fields.

    Errors: ATL-TAB-025 the file cannot be written.
    """
    with atomic_output(path) as stream:
        text = with_text_ids(table.to_arrow(), table.id_name)
        arrow_csv.write_csv(text, stream)
