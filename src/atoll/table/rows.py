"""Choosing rows: by position, by mask and by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from atoll.core.errors import DataError, UserError
from atoll.table import hashing
from atoll.table.engines import Engine
from atoll.table.ingest import PARTITION_ROWS

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def refuse_collision(names: Sequence[str]) -> None:
    """Refuse two columns of one name. Errors: ATL-TAB-019."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(
                "ATL-TAB-019", f"two columns would be called {name!r}", hint="rename one of them"
            )
        seen.add(name)


def same_columns(schema: Any, other: Any) -> list[str]:
    """Return the names of two Arrow schemas with the same columns, in the first one's order.

    Errors: ATL-TAB-021 a name or a type differs.
    """
    mine, theirs = (dict(zip(one.names, one.types, strict=True)) for one in (schema, other))
    wrong = {
        "absent": [name for name in mine if name not in theirs],
        "too many": [name for name in theirs if name not in mine],
        "of another type": [name for name in mine if theirs.get(name, mine[name]) != mine[name]],
    }
    differences = [
        f"{how} {', '.join(map(repr, names[:5]))}" for how, names in wrong.items() if names
    ]
    if differences:
        raise UserError(
            "ATL-TAB-021",
            f"the tables have different columns: {'; '.join(differences)}",
            hint="select, rename and cast until names and types agree",
        )
    return list(schema.names)


def _empty() -> DataError:
    return DataError("ATL-TAB-017", "no row is left", hint="look at the ids or the filter")


def rebatch(table: Any, size: int) -> list[Any]:
    """Cut an Arrow table into record batches of exactly ``size`` rows, the last one shorter."""
    return [
        pa.RecordBatch.from_arrays(
            [_joined(column) for column in table.slice(at, size).columns], schema=table.schema
        )
        for at in range(0, table.num_rows, size)
    ]


def _joined(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def filtered(partitions: Sequence[Any], mask: Any, engine: Engine) -> list[Any]:
    """Filter each partition and leave out those that become empty."""
    if callable(mask):
        made = engine.map(lambda part: part.filter(pa.array(mask(part))), partitions)
    else:
        flags = pa.array(np.asarray(mask, dtype=np.bool_))
        if len(flags) != sum(part.num_rows for part in partitions):
            raise UserError("ATL-TAB-021", "the mask has another length than the table")
        starts = np.cumsum([0, *(part.num_rows for part in partitions)]).tolist()

        def keep(at: int) -> Any:
            part = partitions[at]
            return part.filter(flags.slice(starts[at], part.num_rows))

        made = engine.map(keep, range(len(partitions)))
    kept = [part for part in made if part.num_rows]
    if not kept:
        raise _empty()
    return kept


def positions(indices: Any, count: int) -> Integers:
    """Return positions as int64 after checking them. Errors: ATL-TAB-003, -017, -020, -021."""
    chosen = np.asarray(indices)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise UserError("ATL-TAB-021", "positions are a one-dimensional array of integers")
    if not len(chosen):
        raise _empty()
    if chosen.min() < 0 or chosen.max() >= count:
        raise UserError("ATL-TAB-020", f"a position is outside 0…{count - 1}")
    seen = np.zeros(count, dtype=np.bool_)
    seen[chosen] = True
    if int(np.count_nonzero(seen)) != len(chosen):
        raise UserError("ATL-TAB-003", "a row is taken twice", hint="ids must stay unique")
    return chosen.astype(np.int64, copy=False)


def gathered(table: Any, chosen: Integers, engine: Engine) -> list[Any]:
    """Gather rows column by column, so that only one column is held twice at a time."""
    starts = range(0, len(chosen), PARTITION_ROWS)
    cuts = [pa.array(chosen[at : at + PARTITION_ROWS]) for at in starts]
    columns = [_gather(column, cuts, engine) for column in table.columns]
    return [
        pa.RecordBatch.from_arrays(list(parts), schema=table.schema)
        for parts in zip(*columns, strict=True)
    ]


def _gather(column: Any, cuts: Sequence[Any], engine: Engine) -> list[Any]:
    whole = hashing.single(column)
    return engine.map(lambda cut: whole.take(cut).cast(column.type), cuts)


def lookup(known: Any, wanted: Any) -> Integers:
    """Return the position in ``known`` of each wanted id, −1 where there is none."""
    return hashing.lookup(known, _chunked(wanted))


def _chunked(ids: Any) -> Any:
    if not isinstance(ids, pa.Array | pa.ChunkedArray):
        ids = pa.array(ids, type=pa.binary())
    whole = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([ids])
    return whole.cast(pa.binary())


def located(known: Any, wanted: Any) -> Integers:
    """Return the position of every wanted id. Errors: ATL-TAB-020 one is not known."""
    found = lookup(known, wanted)
    if len(found) and found.min() < 0:
        absent = int(np.count_nonzero(found < 0))
        at = int(np.argmax(found < 0))
        raise DataError(
            "ATL-TAB-020",
            f"{absent} of the given ids are not in the table",
            place=f"position {at}",
            hint="intersect the ids first",
        )
    return found
