from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from atoll.flow.access import Access, Actor
from atoll.flow.policy.decision import PolicySettings
from atoll.flow.policy.grants import Grant
from atoll.flow.policy.service import Policies
from atoll.flow.store import Database, DataRow, DataSets
from tests.flow.access.support import Wall, boss, open_access, open_database
from tests.flow.policy.plans import COLUMNS, GUEST, HOST


@dataclass
class House:
    """The host's node: its database, people and policies, with one registered table."""

    database: Database
    access: Access
    admin: Actor
    policies: Policies
    wall: Wall

    def add(self, name: str) -> None:
        DataSets(self.database).add(
            DataRow(
                name=name,
                path=f"{name}.csv",
                format="csv",
                digest="d" * 64,
                columns=[{"name": name} for name in COLUMNS],
                rows=500,
                bytes=1,
                created=self.wall.now,
            )
        )

    def grant(self, table: str = "baskets", **terms: Any) -> Grant:
        whole = {
            "partners": [GUEST],
            "components": ["psi", "split", "boosting", "prediction"],
            "automatic": True,
            **terms,
        }
        return self.policies.grants.add(self.admin, table, whole)

    def again(self, settings: PolicySettings | None = None) -> Policies:
        """Return policies as after a restart."""
        return Policies(self.database, HOST, self.access, settings, wall=self.wall)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    wall = Wall()
    with open_database(tmp_path) as database:
        access = open_access(database, wall)
        admin = boss(access)
        made = House(database, access, admin, Policies(database, HOST, access, wall=wall), wall)
        made.add("baskets")
        yield made
