"""The content hash of a table, the same however its rows are cut into partitions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from atoll.core import codec
from atoll.table.engines import Engine
from atoll.table.rule import ID_RULE


def table_digest(partitions: Sequence[Any], schema: Any, label: str | None, engine: Engine) -> str:
    """Return SHA-256 (hexadecimal) over id rule, names, types, order of rows and values."""
    columns = _columns(partitions, schema, engine)
    return _digest("atoll/table/v1", partitions, columns, {"label": label})


def rows_digest(partitions: Sequence[Any], schema: Any, engine: Engine) -> str:
    """Return the same whatever column is named as the label, or comes first."""
    columns = sorted(_columns(partitions, schema, engine))
    return _digest("atoll/rows/v1", partitions, columns, {})


def _columns(partitions: Sequence[Any], schema: Any, engine: Engine) -> list[list[Any]]:
    chunks = [[part.column(at) for part in partitions] for at in range(len(schema))]
    parts = engine.map(_column_digest, chunks)
    return [[f.name, str(f.type), digest] for f, digest in zip(schema, parts, strict=True)]


def _digest(
    form: str, partitions: Sequence[Any], columns: list[list[Any]], more: dict[str, Any]
) -> str:
    rows = sum(part.num_rows for part in partitions)
    return codec.digest(
        {"form": form, "id_rule": ID_RULE, "rows": rows, "columns": columns, **more}
    )


def _column_digest(chunks: Sequence[Any]) -> bytes:
    hasher = hashlib.sha256()
    if pa.types.is_binary(chunks[0].type):
        for chunk in chunks:
            sizes = pc.binary_length(chunk).to_numpy(zero_copy_only=False)
            hasher.update(_raw(sizes, "<u4"))
        for chunk in chunks:
            hasher.update(_bytes_of(chunk))
        return hasher.digest()
    missing = any(chunk.null_count for chunk in chunks)
    hasher.update(b"missing" if missing else b"whole")
    for chunk in chunks:
        full = chunk.fill_null(0) if chunk.null_count else chunk
        values = full.to_numpy(zero_copy_only=False)
        hasher.update(_raw(values, values.dtype.newbyteorder("<")))
    if missing:
        for chunk in chunks:
            valid = chunk.is_valid().to_numpy(zero_copy_only=False)
            hasher.update(_raw(valid, np.uint8))
    return hasher.digest()


def _raw(values: npt.NDArray[Any], dtype: npt.DTypeLike) -> memoryview:
    return np.ascontiguousarray(values, dtype=dtype).data


def _bytes_of(ids: Any) -> memoryview:
    """Return the value bytes of a ``binary`` array without gaps."""
    _, offsets, data = ids.buffers()
    if data is None:
        return memoryview(b"")
    marks = np.frombuffer(offsets, dtype=np.int32, count=len(ids) + 1, offset=4 * ids.offset)
    return memoryview(data)[marks[0] : marks[-1]]
