"""The first rows of a file, without reading the rest."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pyarrow as pa

from atoll.core.errors import DataError
from atoll.core.limits import Limits
from atoll.table.ingest import Intake, Layout
from atoll.table.problems import raise_first
from atoll.table.sources import file_format
from atoll.table.sources.arrow import ipc_batches, layout_of, parquet_batches, take_in
from atoll.table.sources.csv import Reader, parse
from atoll.table.sources.files import open_input
from atoll.table.sources.structure import CsvLimits

BLOCK = 1 << 20


def first_rows(path: str, id_column: str, label: str | None, rows: int) -> Any:
    """Return at most ``rows`` first rows as a record batch: id, features, label.

    Errors: ATL-TAB-017 there is none, and those of the readers.
    """
    form = file_format(path)
    intake = Intake(Layout(id_column, label), Limits(), raise_first(), first_row=2)
    with open_input(path) as stream:
        if form == "csv":
            _csv(stream, intake, id_column)
        else:
            opener = parquet_batches if form == "parquet" else ipc_batches
            with opener(stream, intake.limits) as (schema, batches):
                intake.layout = layout_of(schema, id_column, label, None)
                filled = (batch.slice(0, rows) for batch in batches if batch.num_rows)
                take_in(schema, islice(filled, 1), intake)
    if not intake.partitions:
        raise DataError("ATL-TAB-017", "the table has no rows")
    return pa.RecordBatch.from_arrays(
        [column.slice(0, rows) for column in intake.partitions[0].columns],
        names=intake.partitions[0].schema.names,
    )


def _csv(stream: Any, intake: Intake, id_column: str) -> None:
    sink = raise_first()
    reader = Reader(stream, delimiter=",", limits=CsvLimits(block_bytes=BLOCK), sink=sink)
    for block in reader:
        taken = intake.layout.chosen(reader.header, sink)
        intake.add(parse(block, reader.header, [id_column, *taken], id_column, ",", sink))
        return
