"""Calls about standing agreements, and the requests that are made under one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from atoll.core.errors import UserError
from atoll.flow.api import views
from atoll.sdk.results import Scored
from atoll.sdk.wire import Call, Request, get, path, post


def listing(
    *, live: bool | None = None, limit: int | None = None, after: str | None = None
) -> Call[views.AgreementPage]:
    """List standing agreements, the newest first; with ``live`` those that hold today."""
    return get(views.AgreementPage, "agreements", live=live, limit=limit, after=after)


def show(agreement: str) -> Call[views.AgreementView]:
    """Read a standing agreement: its terms, and what is used of them at this node."""
    return get(views.AgreementView, "agreements", agreement)


def end(agreement: str, reason: str = "", *, key: str | None = None) -> Call[views.AgreementView]:
    """End a standing agreement at this node, at once and for good."""
    body = {"reason": reason}
    return post(views.AgreementView, "agreements", agreement, "end", body=body, key=key)


def ask(
    agreement: str,
    request: Mapping[str, Any],
    *,
    wait: float = 30.0,
    key: str | None = None,
) -> Call[dict[str, Any]]:
    """Ask under a standing agreement, and wait so many seconds for the answer.

    What is asked is counted, so it is sent once; with a ``key`` it may be repeated, and is counted
    once.
    """
    return Call(_request(agreement, request, wait, key), dict)


def score(
    agreement: str,
    ids: Iterable[str | int],
    columns: Mapping[str, Iterable[float | None]] | None = None,
    *,
    wait: float = 30.0,
    key: str | None = None,
) -> Call[Scored]:
    """Score rows by their ids, with the own columns by name where this party has no table.

    NaN and None are missing values. Errors: ATL-AGR-006 a value that is no number; those of
    ``ask``.
    """
    named = [str(id) for id in ids]
    request: dict[str, Any] = {"ids": named}
    if columns is not None:
        request["columns"] = {n: _values(n, v) for n, v in columns.items()}
    return Call(_request(agreement, request, wait, key), Scored)


def _values(name: str, values: Iterable[float | None]) -> list[float | None]:
    try:
        found = [math.nan if value is None else float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise UserError("ATL-AGR-006", "a value is no number", place=f"columns.{name}") from error
    return [None if math.isnan(value) else value for value in found]


def _request(agreement: str, body: Mapping[str, Any], wait: float, key: str | None) -> Request:
    place = path("agreements", agreement, "requests")
    return Request("POST", place, {"wait": wait}, body=dict(body), key=key, once=key is None)
