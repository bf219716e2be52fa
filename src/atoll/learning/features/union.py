"""Tables with the same columns put one below the other; each id is kept once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import DataError, UserError

if TYPE_CHECKING:
    from atoll.table import Table


_HINT = "set duplicates to keep-first, or leave them out"


class UnionParameters(BaseModel):
    """What happens to rows whose id occurs in several tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    duplicates: Literal["error", "keep-first"] = Field(
        default="error", description="an id in several tables: refuse it, or keep its first row"
    )


@dataclass(frozen=True)
class Unity:
    """The united table, how many rows each input had, and how many were left out."""

    table: Table
    rows: tuple[int, ...]
    left_out: int


def unite(tables: Sequence[Table], duplicates: Literal["error", "keep-first"]) -> Unity:
    """Return the rows of the first table, then those of the next with new ids, and so on.

    Parties whose tables hold the same ids in the same order get the same ids in the same order.
    Errors: ATL-CMP-030 other columns, ATL-CMP-031 an id occurs in two tables.
    """
    from atoll.table import Table
    from atoll.table.rows import lookup

    first = tables[0]
    for number, table in enumerate(tables):
        labels = (first.label_name, table.label_name)
        check_columns(first.columns, table.columns, labels, number)
    schema = _common_schema(tables)
    whole, left_out = _conform(tables[0], schema, tables[0], 0), 0
    for number, table in enumerate(tables[1:], 1):
        fresh = lookup(whole.ids(), table.ids()) < 0
        repeated = table.num_rows - int(np.count_nonzero(fresh))
        if repeated and duplicates == "error":
            raise DataError(
                "ATL-CMP-031",
                f"{repeated} ids occur in an earlier table, too",
                place=f"row {int(np.argmin(fresh)) + 1} of tables.{number}",
                hint=_HINT,
            )
        left_out += repeated
        if repeated < table.num_rows:
            kept = table.filter(fresh) if repeated else table
            parts = _conform(kept, schema, whole, number).partitions
            parts = (*whole.partitions, *parts)
            whole = Table(parts, whole.id_name, whole.label_name, whole.engine)
    return Unity(whole, tuple(table.num_rows for table in tables), left_out)


def shared(place: str, party: str) -> DataError:
    """Return the refusal of tables that share ids, before they are read."""
    return DataError(
        "ATL-CMP-031",
        "ids of an earlier table occur in this one, too",
        party=party,
        place=place,
        hint=_HINT,
    )


def check_columns(
    model: Sequence[str],
    given: Sequence[str],
    labels: tuple[str | None, str | None],
    number: int,
    party: str | None = None,
) -> None:
    """Compare columns and labels of the first table and of another. Errors: ATL-CMP-030."""
    same_label = labels[0] == labels[1]
    if same_label and set(given) == set(model):
        return
    absent = sorted(set(model) - set(given))[:5]
    extra = sorted(set(given) - set(model))[:5]
    hint = f"absent: {', '.join(absent) or 'none'}; too many: {', '.join(extra) or 'none'}"
    raise UserError(
        "ATL-CMP-030",
        "the tables have different columns",
        party=party,
        place=f"tables.{number}",
        hint=hint if same_label else f"{hint}; the labels differ",
    )


def _common_schema(tables: Sequence[Table]) -> Any:
    """Return the first table's schema, with fractions where any table has them."""
    import pyarrow as pa

    model, fields = tables[0], []
    for field in model.schema:
        if field.name == model.id_name:
            fields.append(field)
            continue
        kinds = {table.schema.field(field.name).type for table in tables}
        fractions = any(pa.types.is_floating(kind) for kind in kinds)
        common = pa.float64() if fractions else pa.int64()
        fields.append(field if len(kinds) == 1 else field.with_type(common))
    return pa.schema(fields)


def _conform(table: Table, schema: Any, model: Table, number: int) -> Table:
    from atoll.table import Table

    if table.id_name != model.id_name:
        table = table.rename({table.id_name: model.id_name})
    if table.schema == schema:
        return table
    parts = [_cast(part.select(schema.names), schema, number) for part in table.partitions]
    return Table(parts, model.id_name, model.label_name, table.engine)


def _cast(part: Any, schema: Any, number: int) -> Any:
    import pyarrow as pa

    columns = []
    for field, column in zip(schema, part.columns, strict=True):
        try:
            columns.append(column.cast(field.type, safe=True))
        except pa.ArrowInvalid as error:
            raise UserError(
                "ATL-CMP-030",
                "a column's whole numbers are too large for the fractions of another table",
                place=f"tables.{number}, column {field.name!r}",
                hint="bring the column to one form before",
            ) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)
