"""Small statements that every repository needs, the same on each database."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, TypeVar, cast

from sqlalchemy import Connection, Row, String, Table, bindparam

from atoll.core.errors import InternalError
from atoll.flow.store.database import Database
from atoll.flow.store.values import refused, unfit

T = TypeVar("T")
R = TypeVar("R")


def to_json(value: Any) -> str:
    """Write a value as one line of JSON; infinities and NaN are refused."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)


def from_json(text: str | None) -> Any:
    """Read what ``to_json`` wrote; nothing stays nothing."""
    return None if text is None else json.loads(text)


def checked(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values if each database would take them alike. Errors: ATL-STO-011."""
    for name, value in values.items():
        column = table.c.get(name)
        if column is None:
            raise InternalError("ATL-STO-016", "a column that does not exist", place=name)
        length = column.type.length if isinstance(column.type, String) else None
        fault = unfit(value, length)
        if fault:
            raise refused(f"{table.name}.{name}", fault)
    return dict(values)


def insert(connection: Connection, table: Table, *rows: Mapping[str, Any]) -> None:
    """Insert rows. Errors: ATL-STO-011, ATL-STO-012 exists already."""
    if rows:
        connection.execute(_inserting(table), [checked(table, row) for row in rows])


@functools.cache
def _inserting(table: Table) -> Any:
    """Make the statement once: with it goes the key under which its compiled form is kept."""
    return table.insert()


def upsert(connection: Connection, table: Table, *rows: Mapping[str, Any]) -> None:
    """Insert rows, or replace what stands under the same primary key."""
    if not rows:
        return
    statement = _replacing(table, connection.dialect.name, tuple(rows[0]))
    connection.execute(statement, [checked(table, row) for row in rows])


@functools.cache
def _replacing(table: Table, dialect: str, names_given: tuple[str, ...]) -> Any:
    keys = [column.name for column in table.primary_key.columns]
    changing = [name for name in names_given if name not in keys]
    statement: Any
    # One dialect is in use, so only that one is loaded.
    if dialect in ("mysql", "mariadb"):
        from sqlalchemy.dialects import mysql

        statement = mysql.insert(table)
        # MariaDB has no "do nothing": setting a key to itself is that.
        names = changing or keys[:1]
        statement = statement.on_duplicate_key_update({n: statement.inserted[n] for n in names})
    else:
        statement = _conflicting(dialect, table)
        if changing:
            replaced = {name: statement.excluded[name] for name in changing}
            statement = statement.on_conflict_do_update(index_elements=keys, set_=replaced)
        else:
            statement = statement.on_conflict_do_nothing(index_elements=keys)
    return statement


@functools.cache
def updating(table: Table, columns: tuple[str, ...]) -> Any:
    """Return the update of columns of the row whose only key is bound as ``row_key``."""
    (key,) = table.primary_key.columns
    new: dict[str, Any] = {name: bindparam(name) for name in columns}
    return table.update().where(key == bindparam("row_key")).values(new)


def _conflicting(dialect: str, table: Table) -> Any:
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


class Record:
    """A frozen dataclass that is a row; ``json_columns`` are stored as text."""

    json_columns: ClassVar[tuple[str, ...]] = ()

    def values(self) -> dict[str, Any]:
        """Return the row as the database takes it."""
        values = {f.name: getattr(self, f.name) for f in fields(cast(Any, self))}
        for name in self.json_columns:
            if values[name] is not None:
                values[name] = to_json(values[name])
        return values


def build(kind: type[R]) -> Callable[[Row[Any]], R]:
    """Return what makes a record of this class from a row; other columns are left alone."""
    names = [f.name for f in fields(cast(Any, kind))]
    decode = set(getattr(kind, "json_columns", ()))

    def make(row: Row[Any]) -> R:
        values = row._mapping
        return kind(**{n: from_json(values[n]) if n in decode else values[n] for n in names})

    return make


def selected(table: Table, kind: type[Any]) -> Sequence[Any]:
    """Return the columns of a table that a record of this class has."""
    return [table.c[f.name] for f in fields(kind)]


class Repository:
    """A set of rows; with ``connection`` a method is part of the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def _read(self, function: Callable[[Connection], T], connection: Connection | None) -> T:
        return self.database.read(function) if connection is None else function(connection)

    def _write(self, function: Callable[[Connection], T], connection: Connection | None) -> T:
        return self.database.write(function) if connection is None else function(connection)
