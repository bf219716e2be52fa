"""The kinds of artifact that components hand each other: a literal table.

How each is written to a file is in ``flow/work``. Kinds of models and transforms are
declared in ``models``, or come with a component of others. Besides these a component may have
kinds of its own, ``<component>.<name>``, whose values are bytes or JSON-like. A kind that ends in
``.model`` is a model, one in ``.transform`` what a transform fitted, one in ``.cache`` a cache.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from atoll.components.api import Catalogue
from atoll.components.scores import Scores
from atoll.models.catalogue import KINDS as MODELS
from atoll.models.kinds import GENERAL, Kinds, is_general

DEPTH = 64
_OWN = re.compile(r"[a-z][a-z0-9_-]{0,62}[.][a-z][a-z0-9_-]{0,62}")


def json_like(value: Any, depth: int = 0) -> bool:
    """Return whether a value consists of None, booleans, numbers, text, lists and text-keyed dicts.

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
}


def known(kind: str) -> bool:
    """Return whether a kind is one of the platform's or has the form of a component's own."""
    return kind in KINDS or kind in GENERAL or _OWN.fullmatch(kind) is not None


def is_own(kind: str, models: Kinds = MODELS) -> bool:
    """Return whether a kind is a component's own: stored as one letter, then bytes or JSON."""
    return kind not in models and kind not in KINDS and _OWN.fullmatch(kind) is not None


def holds(kind: str, value: Any, models: Kinds = MODELS) -> bool:
    """Return whether a value is one of this kind."""
    if kind in GENERAL:
        return any(is_general(kind, name) and of.holds(value) for name, of in models.items())
    declared = models.get(kind)
    return declared.holds(value) if declared else KINDS.get(kind, _bytes_or_json)(value)


def declared(catalogue: Catalogue) -> Kinds:
    """Return the kinds of models and transforms: the platform's, and those of components."""
    own_kinds = (kind for component in catalogue.values() for kind in component.model_kinds)
    return {**{kind.name: kind for kind in own_kinds}, **MODELS}
