"""A party's own tables: names in its folder, each read once per run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from atoll.jobs.errors import NotFoundError
from atoll.jobs.validation import near
from atoll.table import Table, read


class FileTables:
    """Tables in CSV, Parquet or Arrow files, by name."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        self._read: dict[tuple[str, str, str | None], Table] = {}

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Read a table, or return it again. Errors: ATL-JOB-010 unknown, those of the reader."""
        key = (name, id_column, label)
        if key not in self._read:
            path = self._files.get(name)
            if path is None or not path.is_file():
                raise NotFoundError(
                    "ATL-JOB-010",
                    f"this party has no table {name!r}",
                    place=name,
                    hint=near(name, self._files),
                )
            self._read[key] = read(path, id_column=id_column, label=label)
        return self._read[key]


class HeldTables:
    """Tables in memory, by name: for simulation, notebooks and tests."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = dict(tables)

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Return a table. Errors: ATL-JOB-010 unknown, or with another id or label column."""
        table = self._tables.get(name)
        if table is None or table.id_name != id_column or table.label_name != label:
            raise NotFoundError(
                "ATL-JOB-010",
                f"this party has no table {name!r} with such an id and label column",
                place=name,
                hint=near(name, self._tables),
            )
        return table


def folder_tables(folder: Path) -> dict[str, Path]:
    """Return the tables of a party's folder: each file in ``data`` under its name's first part."""
    data = folder / "data"
    files = sorted(data.iterdir()) if data.is_dir() else []
    return {path.stem: path for path in files if path.is_file()}
