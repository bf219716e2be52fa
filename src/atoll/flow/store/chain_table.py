"""A chain of hashes (``chain``) in a table of the node's database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, insert, select, update

from atoll.flow.store.chain import START, holds, link
from atoll.flow.store.paging import Page, page
from atoll.flow.store.schema import meta
from atoll.jobs.errors import TamperedError

_PAGE = 1000
_HEAD = select(meta.c.value).where(meta.c.name == bindparam("called"))
_MOVED = update(meta).where(meta.c.name == bindparam("called")).values(value=bindparam("head"))
_FIRST = insert(meta).values(name=bindparam("called"), value=bindparam("head"))


class ChainTable:
    """A chain in a table of the database, with its head in ``meta`` so that a cut end shows.

    ``texts`` are the columns that hold words, ``document`` the one that holds the rest as JSON.
    Numbers begin at 1. Times count in whole milliseconds. Everything takes a connection, so that a
    line and the change that it records are written together.
    """

    def __init__(self, table: Table, texts: tuple[str, ...], document: str, code: str) -> None:
        self._table = table
        self._texts = texts
        self._document = document
        self._code = code
        self._name = f"chain.{table.name}"
        self._adding = insert(table)
        newest = select(table.c.number, table.c.hash, _HEAD.scalar_subquery())
        self._newest = newest.order_by(table.c.number.desc()).limit(1)

    def append(
        self, connection: Connection, now: float, entries: list[tuple[dict[str, str], Any]]
    ) -> int:
        """Add lines (words, document) and return the last number. Errors: a broken end."""
        number, previous = self._end(connection)
        rows = []
        for words, document in entries:
            number += 1
            text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
            row = {**words, self._document: text, "time": round(now, 3)}
            line = link(self._line(row), number, previous)
            rows.append({**row, "number": number, "previous": previous, "hash": line["hash"]})
            previous = line["hash"]
        if rows:
            connection.execute(self._adding, rows)
            head = {"called": self._name, "head": f"{number} {previous}"}
            if connection.execute(_MOVED, head).rowcount == 0:
                connection.execute(_FIRST, head)
        return number

    def _line(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is hashed of a row: words, document and whole milliseconds."""
        fields: dict[str, Any] = {name: row[name] for name in self._texts}
        fields[self._document] = json.loads(row[self._document])
        return {**fields, "milliseconds": round(row["time"] * 1000)}

    def _end(self, connection: Connection) -> tuple[int, str]:
        row = connection.execute(self._newest, {"called": self._name}).first()
        if row is None:
            number, previous, head = 0, START, self._head(connection)
        else:
            number, previous, head = int(row[0]), str(row[1]), _read_head(row[2])
        if head != (number, previous):
            raise self._broken(number)
        return number, previous

    def _head(self, connection: Connection) -> tuple[int, str]:
        return _read_head(connection.execute(_HEAD, {"called": self._name}).scalar())

    def _broken(self, number: int) -> TamperedError:
        name = self._table.name
        return TamperedError(
            self._code,
            f"the {name} was changed after it was written",
            place=f"{name}, line {number}",
            hint="restore the whole database from a backup, and find out who changed it",
        )

    def page(
        self, connection: Connection, after: str | None, limit: int, *, newest_first: bool = False
    ) -> Page[dict[str, Any]]:
        """Return a page of lines, their document decoded."""
        return page(
            connection,
            select(self._table),
            (self._table.c.number,),
            self._decoded,
            limit=limit,
            after=after,
            newest_first=newest_first,
        )

    def _decoded(self, row: Row[Any]) -> dict[str, Any]:
        whole = dict(row._mapping)
        return {**whole, self._document: json.loads(whole[self._document])}

    def rows(self, connection: Connection, after: int = 0) -> Iterator[dict[str, Any]]:
        """Give all rows after a number as they are stored, page by page."""
        table = self._table
        while True:
            query = select(table).where(table.c.number > after).order_by(table.c.number)
            page = connection.execute(query.limit(_PAGE)).mappings().all()
            yield from (dict(row) for row in page)
            if len(page) < _PAGE:
                return
            after = page[-1]["number"]

    def verify(self, connection: Connection) -> int | None:
        """Return the number of the first broken line, None if the chain is whole.

        A missing end shows as the number after the last line.
        """
        number, previous = 0, START
        for row in self.rows(connection):
            if not self._whole(row, number + 1, previous):
                return number + 1
            number, previous = number + 1, row["hash"]
        return None if self._head(connection) == (number, previous) else number + 1

    def _whole(self, row: Mapping[str, Any], number: int, previous: str) -> bool:
        try:
            line = {**self._line(row), "number": row["number"], "previous": row["previous"]}
        except (ValueError, TypeError, OverflowError):
            return False
        return holds({**line, "hash": row["hash"]}, number, previous)


def _read_head(value: Any) -> tuple[int, str]:
    if value is None:
        return 0, START
    words = str(value).split()
    right = len(words) == 2 and words[0].isdigit()
    return (int(words[0]), words[1]) if right else (-1, "")
