"""From and to other programs' tables; pandas and polars are loaded only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atoll.core.errors import DataError, UserError
from atoll.table.ingest import check_names
from atoll.table.problems import raise_first

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


def from_pandas(frame: Any) -> Any:
    """Turn a pandas frame into an Arrow table; its index is left out.

    Errors: ATL-TAB-011 two columns of one name, ATL-TAB-016 a column of things of several types.
    """
    check_names([str(name) for name in frame.columns], raise_first())
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # Arrow's own words quote the value, so they go no further.
        place = next((f"column {name!r}" for name in frame.columns if not _fits(frame[name])), None)
        raise DataError(
            "ATL-TAB-016",
            "a column's values are of several types, or of one that Arrow does not know",
            place=place,
            hint="features are numbers: encode it, or leave it out",
        ) from None


def _fits(column: Any) -> bool:
    try:
        pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return True


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
