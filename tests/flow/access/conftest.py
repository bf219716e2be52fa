from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.flow.access import Access, Actor
from atoll.flow.store import Database
from tests.flow.access.support import Wall, boss, open_access, open_database


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path) as opened:
        yield opened


@pytest.fixture
def access(database: Database, wall: Wall) -> Access:
    return open_access(database, wall)


@pytest.fixture
def admin(access: Access) -> Actor:
    return boss(access)
