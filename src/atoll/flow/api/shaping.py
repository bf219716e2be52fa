"""From what services return to the declared answers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from atoll.core.errors import InternalError
from atoll.flow.api.services import Listing

V = TypeVar("V", bound=BaseModel)

log = logging.getLogger("atoll.api")


def shape(view: type[V], value: object) -> V:
    """Return ``value`` (a mapping or an object with attributes) as a view.

    Errors: ATL-INT-001 a service returned something else.
    """
    try:
        return view.model_validate(value)
    except ValidationError as error:
        places = [problem["loc"] for problem in error.errors(include_input=False)]
        log.error("a service returned no %s: %s", view.__name__, places)
        raise InternalError("ATL-INT-001", "a fault of ours") from None


def items(view: type[V], values: Iterable[object], **more: Any) -> V:
    """Return a list as a view whose field ``items`` holds it."""
    return shape(view, {"items": [_plain(value) for value in values], **more})


def paged(view: type[V], page: Listing) -> V:
    """Return a page as a view with ``items`` and ``next``."""
    return items(view, page.rows, next=page.next)


def _plain(value: object) -> object:
    return value.model_dump() if isinstance(value, BaseModel) else value
