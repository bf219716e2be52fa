"""Registered tables as a job's planning asks for them: their facts without reading a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from atoll.table import Table
    from atoll.table.labels import LabelFacts


@dataclass(frozen=True)
class TableSource:
    """A registered table with the id and label that a job asks for; ``digest`` is its content's."""

    name: str
    path: Path
    id: str
    label: str | None
    digest: str
    rows: int
    columns: tuple[str, ...]
    classes: LabelFacts | None = None


class RecordedTable:
    """What stands for a table whose digest, size and columns are known.

    Whatever else is asked is asked of the table itself, which is read (and Arrow loaded) then.
    Errors: those of the readers, where rows are used.
    """

    def __init__(self, source: TableSource, finder: Finder) -> None:
        """Hold the facts; nothing is opened."""
        self._source = source
        self._finder = finder
        self.id_name = source.id
        self.label_name = source.label
        self._whole: Table | None = None

    def __getattr__(self, name: str) -> Any:
        """Answer for the table itself."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._read(), name)

    def _read(self) -> Table:
        from atoll.table import read

        if self._whole is None:
            source = self._source
            self._whole = read(source.path, id_column=source.id, label=source.label)
        return self._whole

    def __len__(self) -> int:
        return self._source.rows

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self._source.rows

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return self._source.columns

    def label_facts(self) -> LabelFacts | None:
        """Return the label's classes and their first rows."""
        return self._source.classes

    def digest(self) -> str:
        """Return the content hash that was recorded."""
        return self._source.digest

    def shares_ids(self, other: Table) -> bool:
        """Return whether some id is in both tables; registered ones are not read here for that."""
        if isinstance(other, RecordedTable):
            return self._finder.share(self._source, other._source)
        return self._read().shares_ids(other)


class Finder(Protocol):
    """What finds a registered table."""

    def source(self, name: str, *, id_column: str, label: str | None) -> TableSource:
        """Return a table's facts."""
        ...

    def share(self, one: TableSource, two: TableSource) -> bool:
        """Return whether some id is in both tables."""
        ...


class RegisteredTables:
    """This party's tables as ``components.api.Tables``, by their registered names."""

    def __init__(self, finder: Finder, allow: Callable[[str], None] = lambda name: None) -> None:
        self._finder = finder
        self._allow = allow

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Return a table whose facts are known and whose rows are read when used.

        Errors: ATL-JOB-010 unknown, ATL-DAT-104 changed, ATL-DAT-105 its label is not asked for.
        """
        self._allow(name)
        found = self._finder.source(name, id_column=id_column, label=label)
        return cast("Table", RecordedTable(found, self._finder))
