"""Tables on their way out to people: CSV in which no cell is a formula, Parquet, Arrow."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from atoll.table.formulas import escaped

PIECE_ROWS = 1 << 15
_COPY = 1 << 18


def csv_pieces(batches: Sequence[Any]) -> Iterator[bytes]:
    """Give record batches (one schema, at least one) as CSV with a header, piece by piece."""
    first = True
    for batch in batches:
        for start in range(0, max(batch.num_rows, 1), PIECE_ROWS):
            out = io.BytesIO()
            piece = escaped(batch.slice(start, PIECE_ROWS))
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
