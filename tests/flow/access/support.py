"""A door over a real SQLite database, with a clock that stands still and cheap password hashes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from atoll.flow.access import Access, AccessSettings, Actor, Passwords
from atoll.flow.store import Database

START = 1_000_000.0
PASSWORD = "correct horse battery"


class Wall:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def cheap() -> Passwords:
    return Passwords(time_cost=1, memory_kib=8, parallelism=1)


@cache
def _empty() -> bytes:
    """Return the file of an empty database: making its tables takes longer than most tests."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        Database.open(f"sqlite:///{file}").close()
        return file.read_bytes()


def open_database(folder: Path) -> Database:
    """Open a new database with all its tables."""
    file = folder / "atoll.db"
    file.write_bytes(_empty())
    return Database.open(f"sqlite:///{file}")


def open_access(database: Database, wall: Wall, settings: AccessSettings | None = None) -> Access:
    return Access(database, settings, passwords=cheap(), wall=wall)


def boss(access: Access) -> Actor:
    """Return the first administrator, logged in and with a password of its own."""
    first = access.bootstrap()
    assert first is not None
    token = access.login("admin", first).token
    access.change_password(access.authenticate(token), first, PASSWORD)
    return access.authenticate(token)


def person(access: Access, admin: Actor, name: str, roles: Iterable[str]) -> Actor:
    """Add a user and return the actor of its first session, the password changed."""
    first = access.add_user(admin, name, roles)
    assert first is not None
    token = access.login(name, first).token
    access.change_password(access.authenticate(token), first, PASSWORD)
    return access.authenticate(token)
