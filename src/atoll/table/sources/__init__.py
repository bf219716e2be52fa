"""Tables from files and back: CSV, Parquet, Arrow, by the ending of the file's name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atoll.core.errors import UserError
from atoll.table.sources.arrow import read_ipc, read_parquet, write_ipc, write_parquet
from atoll.table.sources.csv import read_csv, write_csv
from atoll.table.table import Table

__all__ = [
    "file_format",
    "read",
    "read_csv",
    "read_ipc",
    "read_parquet",
    "write",
    "write_csv",
    "write_ipc",
    "write_parquet",
]

_FORMATS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}


def file_format(path: str | os.PathLike[str]) -> str:
    """Return ``csv``, ``parquet`` or ``ipc`` by the ending of the name. Errors: ATL-TAB-023."""
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise UserError(
            "ATL-TAB-023",
            "the file's suffix names no format",
            place=os.path.basename(path),
            hint="use " + ", ".join(_FORMATS),
        )
    return _FORMATS[suffix]


def read(
    path: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
) -> Table:
    """Read a table in the format of its name; the id column is ``id`` unless named or noted.

    Errors: ATL-TAB-023 unknown format, and those of the format's reader.
    """
    arguments: dict[str, Any] = {"label": label, "columns": columns}
    match file_format(path):
        case "csv":
            return read_csv(path, id_column=id_column or "id", **arguments)
        case "parquet":
            return read_parquet(path, id_column=id_column, **arguments)
        case _:
            return read_ipc(path, id_column=id_column, **arguments)


def write(table: Table, path: str | os.PathLike[str]) -> None:
    """Write a table in the format of the name, whole or not at all.

    Errors: ATL-TAB-023 unknown format, ATL-TAB-025 it cannot be written.
    """
    writers = {"csv": write_csv, "parquet": write_parquet, "ipc": write_ipc}
    writers[file_format(path)](table, path)
