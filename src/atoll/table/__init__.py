"""Partitioned Arrow tables with ids, the engines that work on them, and their sources.

What is named here is loaded when it is first asked for: a node that only plans and drives jobs
looks at no table, and so needs no Arrow (40 MB).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from atoll.table.rule import ID_RULE

if TYPE_CHECKING:
    from atoll.table.sources import read, read_csv, write, write_csv
    from atoll.table.table import Table

_PLACES = {
    "Table": "atoll.table.table",
    "read": "atoll.table.sources",
    "read_csv": "atoll.table.sources",
    "write": "atoll.table.sources",
    "write_csv": "atoll.table.sources",
}

__all__ = ["ID_RULE", "Table", "read", "read_csv", "write", "write_csv"]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(place), name)
    globals()[name] = found
    return found
