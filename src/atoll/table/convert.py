"""From and to other programs' tables; pandas and polars are loaded only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atoll.core.errors import UserError

if TYPE_CHECKING:
    import polars


def batches(data: Any) -> Any:
    """Yield the record batches of an Arrow table, batch, reader or sequence of batches."""
    if isinstance(data, pa.RecordBatch):
        return [data]
    if isinstance(data, pa.Table):
        return data.to_batches()
    if isinstance(data, pa.RecordBatchReader):
        return data
    if isinstance(data, list | tuple) and all(isinstance(one, pa.RecordBatch) for one in data):
        return data
    raise UserError("ATL-TAB-021", f"cannot make a table of {type(data).__name__}")


def with_text_ids(table: Any, id_name: str) -> Any:
    """Turn the id column into text, for programs that know no bytes."""
    at = table.schema.get_field_index(id_name)
    return table.set_column(at, id_name, table.column(at).cast(pa.large_string()))


def to_pandas(table: Any, id_name: str) -> Any:
    """Return a pandas frame with ids as text."""
    return with_text_ids(table, id_name).to_pandas()


def to_polars(table: Any, id_name: str) -> polars.DataFrame:
    """Return a polars frame with ids as text."""
    import polars

    frame = polars.from_arrow(with_text_ids(table, id_name))
    if not isinstance(frame, polars.DataFrame):
        raise TypeError("polars made no frame of a table")
    return frame
