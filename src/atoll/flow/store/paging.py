"""Pages of a list by keyset: the last page costs what the first does."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_

from atoll.core.errors import UserError
from atoll.flow.store.values import unfit

T = TypeVar("T")
MOST = 200
_CURSOR_BYTES = 1024


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a list; ``next`` is what to pass as ``after``, None at the end."""

    rows: tuple[T, ...]
    next: str | None

    def __iter__(self) -> Iterator[T]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def encode_cursor(values: Sequence[Any]) -> str:
    """Return the text that names the place after a row."""
    text = json.dumps(list(values), separators=(",", ":"), allow_nan=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(text: str, kinds: Sequence[type]) -> list[Any]:
    """Return the place that ``encode_cursor`` named. Errors: ATL-STO-010."""
    try:
        if len(text) > _CURSOR_BYTES:
            raise ValueError
        padded = text + "=" * (-len(text) % 4)
        values = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, binascii.Error, RecursionError):
        raise _bad_cursor() from None
    if not isinstance(values, list) or len(values) != len(kinds):
        raise _bad_cursor()
    for value, kind in zip(values, kinds, strict=True):
        wanted = (int, float) if kind is float else kind
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise _bad_cursor()
        if unfit(value):
            raise _bad_cursor()
    return values


def _bad_cursor() -> UserError:
    return UserError(
        "ATL-STO-010",
        "this is no place in the list",
        place="after",
        hint="pass on the 'next' of the page before, unchanged",
    )


def checked_limit(limit: int) -> int:
    """Return ``limit`` if it is 1 to 200. Errors: ATL-STO-010."""
    if isinstance(limit, bool) or not 1 <= limit <= MOST:
        raise UserError("ATL-STO-010", f"a page has 1 to {MOST} rows", place="limit")
    return limit


def page(
    connection: Connection,
    query: Select[Any],
    keys: Sequence[Any],
    make: Callable[[Row[Any]], T],
    *,
    limit: int,
    after: str | None,
    newest_first: bool = False,
) -> Page[T]:
    """Return a page of ``query`` by ``keys`` (unique together, never null, all selected)."""
    checked_limit(limit)
    if after is not None:
        place = decode_cursor(after, [key.type.python_type for key in keys])
        query = query.where(_beyond(keys, place, newest_first))
    order = [key.desc() if newest_first else key.asc() for key in keys]
    found = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    rows = found[:limit]
    more = len(found) > limit
    cursor = encode_cursor([rows[-1]._mapping[key.name] for key in keys]) if more else None
    return Page(tuple(make(row) for row in rows), cursor)


def _beyond(keys: Sequence[Any], place: Sequence[Any], backwards: bool) -> ColumnElement[bool]:
    """Express (a, b) > (x, y) in a way that all three databases answer from an index."""

    def past(key: Any, value: Any) -> ColumnElement[bool]:
        return key < value if backwards else key > value  # type: ignore[no-any-return]

    ways = [
        and_(*(keys[j] == place[j] for j in range(i)), past(key, place[i]))
        for i, key in enumerate(keys)
    ]
    first = keys[0] <= place[0] if backwards else keys[0] >= place[0]
    return and_(first, or_(*ways))


def every(fetch: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """Walk a whole list page by page; never more than one page is in memory."""
    after: str | None = None
    while True:
        rows = fetch(after)
        yield from rows
        after = rows.next
        if after is None:
            return
