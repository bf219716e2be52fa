"""The refusal of components of others: one code, with the component's own words.

A peer is sent the code and the step, never the words. They may name columns and row numbers, but
hold no value of a table.
"""

from __future__ import annotations

from atoll.core.errors import DataError


def refusal(message: str, *, place: str | None = None, hint: str | None = None) -> DataError:
    """Return the error to raise where the input cannot be used."""
    return DataError("ATL-EXT-001", message, place=place, hint=hint)
