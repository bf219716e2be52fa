"""Tables and scores in the form that was asked for, piece by piece.

Loaded when someone first asks for rows: a node that only drives jobs needs no Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from atoll.components.scores import Scores
from atoll.flow.api.services import Content
from atoll.flow.api.table_export import arrow_pieces, csv_pieces, parquet_pieces
from atoll.flow.work.artifacts import load
from atoll.table import Table

_WRITERS: Mapping[str, Callable[[Sequence[Any]], Iterator[bytes]]] = {
    "csv": csv_pieces,
    "parquet": parquet_pieces,
    "arrow": arrow_pieces,
}


def pieces(content: Content, form: str) -> Iterator[bytes]:
    """Read an artifact whole and give it in pieces. Errors: those of ``artifacts.load``."""
    return _WRITERS[form](_batches(load(content.kind, content.path, content.digest)))


def _batches(value: Table | Scores) -> Sequence[Any]:
    if isinstance(value, Table):
        return value.partitions
    whole = value.to_arrow()
    whole = whole.set_column(0, "id", value.ids)
    return whole.to_batches() or [pa.RecordBatch.from_pylist([], schema=whole.schema)]
