"""Parquet and Arrow IPC in and out. A file's own figures are checked before they are used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from atoll.core.errors import DataError
from atoll.core.files import atomic_output
from atoll.core.limits import Limits
from atoll.table.engines import Engine
from atoll.table.ingest import PARTITION_ROWS, Intake, Layout, check_names, check_size
from atoll.table.problems import raise_first
from atoll.table.rule import ID_RULE
from atoll.table.sources.files import open_input
from atoll.table.table import Table

_ID, _LABEL, _RULE = b"atoll.id", b"atoll.label", b"atoll.id_rule"


@contextmanager
def parquet_batches(stream: Any, limits: Limits) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Open a Parquet file: its schema and its record batches. Errors: ATL-TAB-018, ATL-TAB-026."""
    with _damage("Parquet"), parquet.ParquetFile(stream) as file:
        check_size(file.metadata.num_rows, len(file.schema_arrow), limits)
        yield file.schema_arrow, file.iter_batches(batch_size=PARTITION_ROWS)


@contextmanager
def ipc_batches(stream: Any, limits: Limits) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Open an Arrow IPC file or stream, each batch validated. Errors: ATL-TAB-018, ATL-TAB-026."""
    with _damage("Arrow"):
        magic = stream.read(6)
        stream.seek(0)
        opened = pa.ipc.open_file(stream) if magic == b"ARROW1" else pa.ipc.open_stream(stream)
        with opened as reader:
            check_size(0, len(reader.schema), limits)
            yield reader.schema, _validated(reader)


def _validated(reader: Any) -> Iterator[Any]:
    whole = isinstance(reader, pa.ipc.RecordBatchFileReader)
    batches = map(reader.get_batch, range(reader.num_record_batches)) if whole else iter(reader)
    for batch in batches:
        # A forged offset would make later reads leave the buffer.
        batch.validate(full=True)
        yield batch


@contextmanager
def _damage(form: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as error:
        raise DataError(
            "ATL-TAB-026",
            f"the file is not a whole {form} file",
            hint="was it cut off while it was copied? write it again",
        ) from error


def layout_of(
    schema: Any, id_column: str | None, label: str | None, columns: Sequence[str] | None
) -> Layout:
    """Take id and label from the file's own notes where they are not named."""
    notes = schema.metadata or {}
    name = id_column or notes.get(_ID, b"id").decode(errors="replace")
    noted = notes.get(_LABEL, b"").decode(errors="replace") or None
    return Layout(name, label or noted, None if columns is None else tuple(columns))


def take_in(schema: Any, batches: Iterator[Any], intake: Intake) -> None:
    """Hand the batches of a typed file to the intake, which is not yet finished."""
    check_names(schema.names, intake.sink)
    taken = intake.layout.chosen(schema.names, intake.sink)
    if intake.layout.id_name not in schema.names:
        return
    for batch in batches:
        if batch.num_rows:
            intake.add(batch.select([intake.layout.id_name, *taken]))


def read_parquet(
    path: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    limits: Limits | None = None,
    engine: Engine | None = None,
) -> Table:
    """Read a Parquet file; id and label default to what Atoll noted when it wrote the file.

    Errors: ATL-TAB-001 unreadable, -026 damaged, and those of ``Table.from_arrow``.
    """
    return _read(parquet_batches, path, id_column, label, columns, limits, engine)


def read_ipc(
    path: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    limits: Limits | None = None,
    engine: Engine | None = None,
) -> Table:
    """Read an Arrow IPC file or stream; id and label default to what Atoll noted in it.

    Errors: ATL-TAB-001 unreadable, -026 damaged, and those of ``Table.from_arrow``.
    """
    return _read(ipc_batches, path, id_column, label, columns, limits, engine)


def _read(
    opener: Any,
    path: str | os.PathLike[str],
    id_column: str | None,
    label: str | None,
    columns: Sequence[str] | None,
    limits: Limits | None,
    engine: Engine | None,
) -> Table:
    bounds = limits or Limits()
    sink = raise_first(os.path.basename(os.fspath(path)))
    with open_input(path) as stream, opener(stream, bounds) as (schema, batches):
        layout = layout_of(schema, id_column, label, columns)
        intake = Intake(layout, bounds, sink)
        take_in(schema, batches, intake)
    return Table(intake.finish(), layout.id_name, layout.label, engine)


def _noted(table: Table) -> Any:
    notes = {_ID: table.id_name, _RULE: ID_RULE}
    if table.label_name:
        notes[_LABEL] = table.label_name
    return table.schema.with_metadata(notes)


def write_parquet(table: Table, path: str | os.PathLike[str]) -> None:
    """Write a table as Parquet, whole or not at all. Errors: ATL-TAB-025."""
    schema = _noted(table)
    with atomic_output(path) as stream, parquet.ParquetWriter(stream, schema) as writer:
        for part in table.partitions:
            writer.write_batch(part.replace_schema_metadata(schema.metadata))


def write_ipc(table: Table, path: str | os.PathLike[str]) -> None:
    """Write a table as an Arrow IPC file, whole or not at all. Errors: ATL-TAB-025."""
    schema = _noted(table)
    with atomic_output(path) as stream, pa.ipc.new_file(stream, schema) as writer:
        for part in table.partitions:
            writer.write_batch(part.replace_schema_metadata(schema.metadata))
