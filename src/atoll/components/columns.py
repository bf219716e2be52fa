"""Columns of a model held against those of a table, as far as a plan knows both."""

from __future__ import annotations

from atoll.components.api import ArtifactFacts
from atoll.core.errors import UserError
from atoll.models.columns import match_columns


def expect_columns(model: ArtifactFacts, table: ArtifactFacts, party: str, place: str) -> None:
    """Refuse a table that lacks columns which a party's model (or training) has.

    Errors: ATL-MOD-003.
    """
    if model.columns is None or table.columns is None:
        return
    try:
        match_columns(model.columns, table.columns, place=place)
    except UserError as error:
        raise error.located(party=party) from None
