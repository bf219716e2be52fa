"""The kinds of artifact that components hand each other: a literal table.

How each is written to a file is told in ``flow/work``. Besides these a component may have kinds of
its own, ``<component>.<name>``, whose values are bytes or JSON-like. A kind that ends in ``.model``
is a model, one that ends in ``.cache`` a cache.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from atoll.components.scores import Scores

DEPTH = 64
_OWN = re.compile(r"[a-z][a-z0-9_-]{0,62}[.][a-z][a-z0-9_-]{0,62}")


def json_like(value: Any, depth: int = 0) -> bool:
    """Tell whether a value consists of None, booleans, numbers, text, lists and text-keyed dicts.

    Numbers are finite and nothing is nested deeper than 64.
    """
    if value is None or type(value) in (bool, int, str):
        return True
    if type(value) is float:
        return math.isfinite(value)
    if depth >= DEPTH:
        return False
    if isinstance(value, list | tuple):
        return all(json_like(item, depth + 1) for item in value)
    return isinstance(value, dict) and all(
        type(key) is str and json_like(item, depth + 1) for key, item in value.items()
    )


def _bytes_or_json(value: Any) -> bool:
    return isinstance(value, bytes | memoryview) or json_like(value)


def _is_table(value: Any) -> bool:
    from atoll.table import Table

    return isinstance(value, Table)


KINDS: Mapping[str, Callable[[Any], bool]] = {
    "table": _is_table,
    "scores": lambda value: isinstance(value, Scores),
    "metrics": json_like,
    "statistics": json_like,
    # Parts of this model are values of ``models.boosting``, which has a form of its own.
    "boosting.model": lambda value: value is not None,
}


def known(kind: str) -> bool:
    """Tell whether a kind is one of the platform's or has the form of a component's own."""
    return kind in KINDS or _OWN.fullmatch(kind) is not None


def holds(kind: str, value: Any) -> bool:
    """Tell whether a value is one of this kind."""
    return KINDS.get(kind, _bytes_or_json)(value)
