"""Writes a party's own table or scores as a file among its outputs; nothing is sent."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from atoll.components.api import Component, Facts, OwnFacts, Result, Task, Terms
from atoll.components.scores import Scores
from atoll.core.errors import UserError
from atoll.core.report import KeyValuePanel, Report
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import EVERYBODY, NO_EDGES
from atoll.jobs.schema import PARTY_LOCAL, Port
from atoll.jobs.validation import near
from atoll.learning.features.statistics import ColumnName

if TYPE_CHECKING:
    from atoll.table import Table

FILE_BYTES = 1 << 31


class DownloadParameters(Frozen):
    """In which form the table is written, and by whom."""

    format: Literal["csv", "parquet"] = Field(
        default="csv", description="form of the file", json_schema_extra=PARTY_LOCAL
    )
    name: str = Field(
        default="table",
        pattern="^[a-z0-9][a-z0-9_-]{0,63}$",
        description="the file's name, without its ending",
        json_schema_extra=PARTY_LOCAL,
    )
    columns: tuple[ColumnName, ...] | None = Field(
        default=None,
        max_length=1 << 16,
        description="the columns to write; empty: all",
        json_schema_extra=PARTY_LOCAL,
    )
    write: bool = Field(
        default=True, description="whether this party writes a file", json_schema_extra=PARTY_LOCAL
    )
    escape_formulas: bool = Field(
        default=True,
        description="CSV: put ' before an id that a spreadsheet would run as a formula",
        json_schema_extra=PARTY_LOCAL,
    )


def run(task: Task, parameters: DownloadParameters) -> Result:
    """Write the file. Errors: ATL-CMP-050, ATL-CMP-051."""
    value = task.inputs["table"]
    if not parameters.write:
        return Result()
    data = arrow_of(value)
    if parameters.columns is not None:
        data = data.select([data.column_names[0], *_known(data, parameters.columns)])
    if data.nbytes > FILE_BYTES:
        raise UserError(
            "ATL-CMP-051", "the table is too large for a file", hint="write fewer columns"
        )
    csv = parameters.format == "csv"
    content = to_csv(data, escape=parameters.escape_formulas) if csv else to_parquet(data)
    name = f"{parameters.name}.{parameters.format}"
    values: dict[str, float | int | str | None] = {
        "file": name,
        "rows": data.num_rows,
        "columns": data.num_columns,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    panel = KeyValuePanel(title="File", values=values)
    return Result(files={name: content}, report=Report(title="Download", panels=(panel,)))


def _known(data: Any, columns: tuple[str, ...]) -> list[str]:
    for name in columns:
        if name not in data.column_names[1:]:
            raise _no_column(name, near(name, data.column_names[1:]))
    return list(dict.fromkeys(columns))


def _no_column(name: str, hint: str) -> UserError:
    message = f"there is no column {name!r} to write"
    return UserError("ATL-CMP-050", message, place="columns", hint=hint)


def arrow_of(value: Table | Scores) -> Any:
    """Return a table or scores as an Arrow table, ids first and as text."""
    import pyarrow as pa

    if isinstance(value, Scores):
        return value.to_arrow()
    whole = value.to_arrow()
    at = whole.schema.get_field_index(value.id_name)
    return whole.set_column(at, value.id_name, whole.column(at).cast(pa.string()))


def to_csv(data: Any, *, escape: bool = True) -> bytes:
    """Return an Arrow table as CSV; missing values are empty fields, numbers keep every bit."""
    import pyarrow.csv as arrow_csv

    from atoll.table.formulas import escaped

    out = io.BytesIO()
    arrow_csv.write_csv(escaped(data) if escape else data, out)
    return out.getvalue()


def to_parquet(data: Any) -> bytes:
    """Return an Arrow table as Parquet (zstd)."""
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(data, out, compression="zstd")
    return out.getvalue()


def describe(facts: Facts, parameters: DownloadParameters) -> Terms:
    """Nothing leaves a party: the file lies among its own outputs."""
    return Terms()


def check(own: OwnFacts, parameters: DownloadParameters) -> None:
    """Refuse columns that this party does not have. Errors: ATL-CMP-050."""
    found = own.inputs.get("table")
    if found is None or parameters.columns is None or not parameters.write:
        return
    if found.kind == "scores":
        known: tuple[str, ...] = ("label", "score") if found.label else ("score",)
    elif found.columns is None:
        return
    else:
        known = (*found.columns, *((found.label,) if found.label else ()))
    for name in parameters.columns:
        if name not in known:
            raise _no_column(name, near(name, known)).located(party=own.party)


DOWNLOAD = Component(
    name="download",
    version="1",
    parameters=DownloadParameters,
    run=run,
    roles=EVERYBODY,
    edges=NO_EDGES,
    describe=describe,
    check=check,
    sources=("atoll.table",),
    inputs={"table": Port("table", alternatives=("scores",))},
)
