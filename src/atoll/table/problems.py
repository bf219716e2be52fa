"""What can be wrong with a table, as values: a check collects them, a reader raises the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atoll.core.errors import DataError


@dataclass(frozen=True)
class Problem:
    """One broken rule. Rows count records from 1, a CSV header included; lines count line ends."""

    code: str
    message: str
    row: int | None = None
    column: str | None = None
    line: int | None = None
    hint: str | None = None

    @property
    def place(self) -> str | None:
        """Row and column in words."""
        parts = []
        if self.row is not None:
            other = self.line is not None and self.line != self.row
            parts.append(f"row {self.row} (line {self.line})" if other else f"row {self.row}")
        if self.column is not None:
            parts.append(f"column {self.column!r}")
        return ", ".join(parts) or None

    def error(self, source: str | None = None) -> DataError:
        """Make the error that a reader raises; ``source`` names the file."""
        place = ", ".join(part for part in (source, self.place) if part) or None
        return DataError(self.code, self.message, place=place, hint=self.hint)

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form; absent parts are left out."""
        return {key: value for key, value in vars(self).items() if value is not None}


Sink = Callable[[Problem], None]


def raise_first(source: str | None = None) -> Sink:
    """Make a sink that raises the first problem as an error."""

    def sink(problem: Problem) -> None:
        raise problem.error(source)

    return sink
