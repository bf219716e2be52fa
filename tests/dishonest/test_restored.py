"""A thief whose password or token was taken back, at a node restored from a backup made before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from atoll.core.errors import AtollError
from atoll.flow.access import ROLES, Access
from atoll.flow.node.node import NodeAccess
from atoll.flow.store import ArtifactFiles, Database, RestoreReport, backup, restore, schema
from tests.flow.access.support import (
    PASSWORD,
    Wall,
    boss,
    cheap,
    open_access,
    open_database,
    person,
)

FRESH = "another horse battery"


def restored(access: Access, database: Database, folder: Path, portable: bool) -> str:
    """Back a node up, take back what was stolen, and return where the backup was restored."""
    admin = boss(access)
    mona = person(access, admin, "mona", ["data owner", "approver"])
    person(access, admin, "eve", ["approver"])
    cap = {"data": "people", "partner": "bank", "changed": 1.0}
    caps = insert(schema.caps).values(**cap, caps=json.dumps({"psi_runs": 3, "rows": 9}))
    database.write(lambda connection: connection.execute(caps))
    archive = folder / "backup.tar"
    backup(database, ArtifactFiles(folder / "files"), archive, 5.0, portable=portable)
    access.change_password(mona, PASSWORD, FRESH)
    access.remove_user(admin, "eve")
    database.write(lambda connection: connection.execute(delete(schema.caps)))
    return f"sqlite:///{folder / 'new.db'}"


@pytest.mark.parametrize("portable", [False, True])
def test_what_was_taken_back_does_not_come_back(tmp_path: Path, portable: bool) -> None:
    """Found: stolen tokens, old passwords and removed users were good again, and no one was shown.

    What the backup has of users, partners and caps is returned, for people to compare.
    """
    wall = Wall()
    with open_database(tmp_path) as database:
        access = open_access(database, wall)
        url = restored(access, database, tmp_path, portable)
    report: RestoreReport = restore(tmp_path / "backup.tar", url, tmp_path / "new")
    assert report.tokens == 3
    assert report.users == (
        f"admin: {', '.join(sorted(ROLES))}",
        "eve: approver",
        "mona: approver, data owner",
    )
    assert report.partners == ()
    assert report.caps == ("people for bank: psi_runs 3, rows 9",)
    with Database.open(url) as database:
        access = NodeAccess(database, passwords=cheap(), wall=wall)
        access.local_token = "local"
        for name in ("admin", "mona", "eve"):
            for password in (PASSWORD, FRESH, ""):
                with pytest.raises(AtollError, match="ATL-ACC-001"):
                    access.login(name, password, client=f"{name} {password}")
        assert access.bootstrap() is None
        # Who has the node's folder goes on as before.
        given = access.reset_password(access.authenticate("local"), "admin")
        assert given is not None
        assert access.authenticate(access.login("admin", given).token).must_change


def test_a_token_of_a_backup_is_none_of_the_restored_node(tmp_path: Path) -> None:
    wall = Wall()
    with open_database(tmp_path) as database:
        access = open_access(database, wall)
        made = boss(access)
        token = access.login("admin", PASSWORD).token
        assert access.authenticate(token).user == made.user
        archive = tmp_path / "backup.tar"
        backup(database, ArtifactFiles(tmp_path / "files"), archive, 5.0)
    url = f"sqlite:///{tmp_path / 'new.db'}"
    restore(archive, url, tmp_path / "new")
    with Database.open(url) as database, pytest.raises(AtollError, match="ATL-ACC-002"):
        open_access(database, wall).authenticate(token)
