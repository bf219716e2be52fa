"""Chains of hashes: each line holds the hash of the line before, so a change breaks all later ones.

The one rule for the ledger (a file or a table) and the audit log. It protects against mistakes and
silent edits, not against an owner who writes the whole chain again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.core import codec
from atoll.core.errors import AtollError

START = "0" * 64


def link(fields: Mapping[str, Any], number: int, previous: str) -> dict[str, Any]:
    """Return the line of ``fields`` at a place in the chain, with its hash."""
    line = {**fields, "number": number, "previous": previous}
    return {**line, "hash": codec.digest(line)}


def holds(line: Mapping[str, Any], number: int, previous: str) -> bool:
    """Return whether a line is whole and stands at this place in the chain."""
    try:
        body = {key: value for key, value in line.items() if key != "hash"}
        return bool(
            body["number"] == number
            and body["previous"] == previous
            and line["hash"] == codec.digest(body)
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, AtollError):
        return False
