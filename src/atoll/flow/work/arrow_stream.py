"""Tables and scores as Arrow IPC streams: written as they lie, read without copying, strictly."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from atoll.components.scores import Scores
from atoll.core.limits import Limits
from atoll.table import Table

_FORM = b"atoll"
_SCORES = ("id", "label", "score")
_ALIGNMENT = re.compile("[0-9a-f]{64}")


class Damaged(ValueError):
    """The bytes are not what the codec writes."""


def write_table(table: Table, path: Path) -> None:
    """Write a table with the names of its id and label columns, and its alignment if it has one."""
    about = {"form": "atoll/table/v1", "id": table.id_name, "label": table.label_name}
    if table.alignment is not None:
        about["alignment"] = table.alignment
    _write(table.schema, table.partitions, about, path)


def read_table(data: Any) -> Table:
    """Return the table of a buffer, over the same memory. Errors: Damaged."""
    about, batches = _read(data, "atoll/table/v1", {"id", "label"}, {"alignment"})
    id_name, label, alignment = about["id"], about["label"], about.get("alignment")
    if not (alignment is None or (type(alignment) is str and _ALIGNMENT.fullmatch(alignment))):
        raise Damaged("an alignment that is none")
    if not batches or type(id_name) is not str or not isinstance(label, str | None):
        raise Damaged("no partition, or no id column")
    schema = batches[0].schema
    names = schema.names
    if not names or names[0] != id_name or label == id_name or len(set(names)) != len(names):
        raise Damaged("columns out of place")
    if label is not None and label not in names:
        raise Damaged("no label column")
    limits = Limits()
    if len(names) > limits.columns or sum(b.num_rows for b in batches) > limits.rows:
        raise Damaged("too many rows or columns")
    _check_types(schema)
    if any(batch.column(0).null_count for batch in batches):
        raise Damaged("an id is missing")
    return Table(batches, id_name, label, alignment=alignment)


def _check_types(schema: Any) -> None:
    if not pa.types.is_binary(schema.field(0).type):
        raise Damaged("ids are not binary")
    for field in list(schema)[1:]:
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            raise Damaged("a column is not numeric")


def write_scores(scores: Scores, path: Path) -> None:
    """Write scores with their ids and labels, and the probability of each class if there are."""
    ids = scores.ids
    chunks = ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]
    wide = () if scores.probabilities is None else tuple(scores.probabilities.T)
    columns = (scores.label, scores.score, *wide)
    names = (*_SCORES, *(f"probability_{at}" for at in range(len(wide))))
    types = [pa.binary(), *[pa.float64()] * len(columns)]
    schema = pa.schema(list(zip(names, types, strict=True)))
    batches, start = [], 0
    for chunk in chunks:
        end = start + len(chunk)
        floats = (pa.array(values[start:end], pa.float64()) for values in columns)
        batches.append(pa.record_batch([chunk.cast(pa.binary()), *floats], schema=schema))
        start = end
    if any(len(values) != start for values in columns):
        raise Damaged("ids, labels and scores differ in length")
    _write(schema, batches, {"form": "atoll/scores/v1"}, path)


def read_scores(data: Any) -> Scores:
    """Return the scores of a buffer, over the same memory where it is one batch. Errors: Damaged"""
    _, batches = _read(data, "atoll/scores/v1", set())
    wide = max((batch.num_columns for batch in batches), default=0) - len(_SCORES)
    names = [*_SCORES, *(f"probability_{at}" for at in range(wide))]
    types = [pa.binary(), *[pa.float64()] * (len(names) - 1)]
    for batch in batches:
        if batch.schema.names != names or batch.schema.types != types:
            raise Damaged("not the columns of scores")
        if any(column.null_count for column in batch.columns):
            raise Damaged("a value is missing")
    ids = pa.chunked_array([batch.column(0) for batch in batches], type=pa.binary())
    label, score, *more = (_floats(batches, at) for at in range(1, len(names)))
    return Scores(ids, label, score, np.column_stack(more) if more else None)


def _floats(batches: list[Any], at: int) -> Any:
    parts = [batch.column(at).to_numpy() for batch in batches]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.empty(0), *parts])


def _write(schema: Any, batches: Any, about: dict[str, Any], path: Path) -> None:
    whole = schema.with_metadata({_FORM: json.dumps(about, sort_keys=True).encode()})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, whole) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _read(
    data: Any, form: str, fields: set[str], optional: frozenset[str] | set[str] = frozenset()
) -> tuple[dict[str, Any], list[Any]]:
    try:
        messages = pa.ipc.MessageReader.open_stream(pa.BufferReader(data))
        first = messages.read_next_message()
        if first.type != "schema" or first.metadata.size > data.size:
            raise Damaged("no schema")
        schema = pa.ipc.read_schema(first)
        if set(schema.metadata or {}) != {_FORM}:
            raise Damaged("no form")
        about = json.loads(schema.metadata[_FORM])
        if type(about) is not dict or about.keys() - optional != fields | {"form"}:
            raise Damaged("other fields")
        if about["form"] != form:
            raise Damaged("another form")
        bare = schema.remove_metadata()
        return about, list(_batches(messages, bare))
    except Damaged:
        raise
    except (pa.ArrowException, ValueError, OSError, struct.error, RecursionError) as error:
        raise Damaged("not an Arrow stream") from error


def _batches(messages: Any, schema: Any) -> Iterator[Any]:
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            return
        # A compressed buffer would itself set how much memory it takes.
        if message.type != "record batch" or _compressed(message.metadata.to_pybytes()):
            raise Damaged("something else than plain record batches")
        batch = pa.ipc.read_record_batch(message, schema)
        batch.validate(full=True)
        yield batch


def _compressed(metadata: bytes) -> bool:
    """Return whether a record batch's flatbuffer header has its compression field (the fourth)."""

    def field(table: int, number: int) -> int:
        start = table - struct.unpack_from("<i", metadata, table)[0]
        size = struct.unpack_from("<H", metadata, start)[0]
        at = 4 + 2 * number
        return struct.unpack_from("<H", metadata, start + at)[0] if at + 2 <= size else 0

    root = struct.unpack_from("<I", metadata, 0)[0]
    header = root + field(root, 2)
    batch = header + struct.unpack_from("<I", metadata, header)[0]
    return field(batch, 3) != 0
