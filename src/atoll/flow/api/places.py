"""Where in a request something is wrong, without its values, and what was perhaps meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from atoll.jobs.validation import near

_NEAR_NAMES = 40


def shown(text: str, limit: int = 200) -> str:
    """Return text without characters that steer a terminal or a log, cut at a limit."""
    clean = "".join(char if char.isprintable() else "?" for char in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def place_of(loc: Sequence[Any]) -> str | None:
    """Return a validator's location as ``body.job.steps.name``."""
    return shown(".".join(shown(str(part), 64) for part in loc)) or None


def hint_of(problem: Mapping[str, Any], route: Any) -> str:
    """Return the nearest known name for an unknown field, or the allowed values."""
    kind, loc = problem.get("type"), tuple(problem.get("loc", ()))
    if kind == "extra_forbidden" and loc:
        known = _fields_at(route, loc[:-1])
        if known:
            return near(shown(str(loc[-1]), 64), known)[:300]
    if kind in {"literal_error", "enum"}:
        return f"allowed: {shown(str(problem.get('ctx', {}).get('expected', '')), 280)}"
    if kind == "missing":
        return "this field must be given"
    return "the schema is at /api/v1/openapi.json"


def _fields_at(route: Any, loc: Sequence[Any]) -> tuple[str, ...]:
    """Walk from the route's body class down to the class that holds the unknown field."""
    field = getattr(route, "body_field", None)
    classes = _classes(getattr(getattr(field, "field_info", None), "annotation", None))
    for part in loc[1:]:
        found: list[type[BaseModel]] = []
        for kind in classes:
            inner = kind.model_fields.get(str(part))
            found += _classes(inner.annotation) if inner is not None else []
        # A key of a mapping or an index of a list keeps the class of its values.
        classes = found or classes
    names = dict.fromkeys(name for kind in classes for name in kind.model_fields)
    return tuple(names)[:_NEAR_NAMES]


def _classes(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner: Iterable[Any] = get_args(annotation)
    return [kind for part in inner for kind in _classes(part)]
