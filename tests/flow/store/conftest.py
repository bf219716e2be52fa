"""Databases of all three kinds: SQLite files, and servers that are started once per process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection

from atoll.flow.store import Database, schema
from tests.flow.store.servers import MissingServer, Server, mariadb, postgres

KINDS = ("sqlite", "postgresql", "mariadb")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server]]:
    """Return what starts a server at its first use, and keeps it."""
    with ExitStack() as stack:
        running: dict[str, Server] = {}

        def server(kind: str) -> Server:
            if kind not in running:
                start = {"postgresql": postgres, "mariadb": mariadb}[kind]
                try:
                    running[kind] = stack.enter_context(start())
                except MissingServer as missing:
                    pytest.skip(f"needs a server: {missing} is not installed")
            return running[kind]

        yield server


def create(server: Server) -> str:
    """Make a new, empty database on a server; return its address."""
    return server.create(f"t{next(_numbers)}")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Name each kind of database in turn."""
    return str(request.param)


@pytest.fixture
def fresh_url(kind: str, tmp_path: Path, servers: Callable[[str], Server]) -> str:
    """Return the address of a new, empty database."""
    return f"sqlite:///{tmp_path}/atoll.db" if kind == "sqlite" else create(servers(kind))


@pytest.fixture(scope="session")
def kept(servers: Callable[[str], Server]) -> Iterator[Callable[[str], Database]]:
    """Return what opens one database per kind of server, for all tests that share it."""
    with ExitStack() as stack:
        opened: dict[str, Database] = {}

        def database(kind: str) -> Database:
            if kind not in opened:
                url = create(servers(kind))
                opened[kind] = stack.enter_context(Database.open(url))
            return opened[kind]

        yield database


@pytest.fixture
def database(kind: str, tmp_path: Path, kept: Callable[[str], Database]) -> Iterator[Database]:
    """Return an open database without rows, of each kind in turn."""
    if kind == "sqlite":
        with Database.open(f"sqlite:///{tmp_path}/atoll.db") as database:
            yield database
        return
    database = kept(kind)

    def clear(connection: Connection) -> None:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(table.delete())

    database.write(clear)
    yield database


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """Return an open SQLite database without rows."""
    with Database.open(f"sqlite:///{tmp_path}/atoll.db") as database:
        yield database
