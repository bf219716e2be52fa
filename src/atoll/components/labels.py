"""Refuses labels that a step cannot take, as far as a party's own planning knows them."""

from __future__ import annotations

from collections.abc import Iterable

from atoll.components.api import ArtifactFacts, TableDeclaration
from atoll.core.errors import DataError


def refuse_other_classes(
    step: str, port: str, held: ArtifactFacts, party: str, tables: Iterable[TableDeclaration]
) -> None:
    """Refuse labels other than 0 and 1 of the tables that an input's rows come from.

    Errors: ATL-PLN-009.
    """
    for table in tables:
        if table.label is None:
            continue
        # A sample may have left classes out.
        classes = table.label.classes if held.classes is None else [v for v, _ in held.classes]
        row = table.label.row_of({value for value in classes if value not in (0.0, 1.0)})
        if row is not None:
            raise DataError(
                "ATL-PLN-009",
                "a label is neither 0 nor 1",
                party=party,
                place=f"row {row} of table {table.facts.name!r}, column {table.label.column!r}",
                hint=f"steps.{step}.inputs.{port} needs the classes 0 and 1: map them in the file",
            )
