"""Tables on their way out to people: CSV in which no cell is a formula, Parquet, Arrow.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` (or a tab or carriage
return before one). Text that does so gets an apostrophe in front; numbers are numbers and stay.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import parquet

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_PATTERN = r"^[=+\-@\t\r\n]"
PIECE_ROWS = 1 << 15
_COPY = 1 << 18


def escaped(text: str) -> str:
    """Return a text that a spreadsheet shows as it is."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_string(kind))


def escaped_column(column: Any) -> Any:
    """Return an array with its text cells escaped; other types as they are."""
    if not _is_text(column.type):
        return column
    text = column.cast(pa.string())
    risky = pc.match_substring_regex(text, _PATTERN)
    if not pc.any(risky, min_count=0).as_py():
        return text
    return pc.if_else(risky, pc.binary_join_element_wise("'", text, ""), text)


def escaped_batch(batch: Any) -> Any:
    """Return a record batch with text escaped, also in the names of its columns."""
    columns = [escaped_column(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=[escaped(name) for name in batch.schema.names])


def csv_pieces(batches: Sequence[Any]) -> Iterator[bytes]:
    """Give record batches (one schema, at least one) as CSV with a header, piece by piece."""
    first = True
    for batch in batches:
        for start in range(0, max(batch.num_rows, 1), PIECE_ROWS):
            out = io.BytesIO()
            piece = escaped_batch(batch.slice(start, PIECE_ROWS))
            options = arrow_csv.WriteOptions(include_header=first)
            arrow_csv.write_csv(pa.Table.from_batches([piece]), out, options)
            first = False
            yield out.getvalue()


def parquet_pieces(batches: Sequence[Any]) -> Iterator[bytes]:
    """Give record batches as a Parquet file, through a temporary one."""
    return _through_file(lambda file: parquet.ParquetWriter(file, batches[0].schema), batches)


def arrow_pieces(batches: Sequence[Any]) -> Iterator[bytes]:
    """Give record batches as an Arrow IPC file, through a temporary one."""
    return _through_file(lambda file: pa.ipc.new_file(file, batches[0].schema), batches)


def _through_file(opener: Callable[[BinaryIO], Any], batches: Sequence[Any]) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as file:
        with opener(file) as writer:
            for batch in batches:
                writer.write_batch(batch)
        file.seek(0)
        while piece := file.read(_COPY):
            yield piece
