"""A partner with the name of a user here: what it did is not written as the user's doing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from atoll.flow.control import Complain
from atoll.flow.node.node import Node
from tests.flow.access.support import Wall, boss, open_access, open_database, person


def test_a_partner_is_no_user_of_its_name(tmp_path: Path) -> None:
    """Found: refused facts of the partner ``aa`` stood in the audit log as those of a user.

    Nor do they use up the lines that the user's own refusals get.
    """
    with open_database(tmp_path) as database:
        access = open_access(database, Wall())
        user = person(access, boss(access), "aa", ["viewer"])
        node: Any = SimpleNamespace(access=access)
        record: Any = SimpleNamespace(id="job-1")
        for _ in range(20):
            Node._complained(node, record, Complain("aa", "ATL-FLW-005", "commands"))
        access.audit.refused(user.user, "job.approve", "job-1", code="ATL-ACC-003")
        lines = [line for line in access.audit.page() if line["outcome"] == "refused"]
    actors = [cast(str, line["actor"]) for line in lines]
    assert set(actors) == {"party:aa", "aa"}
    assert actors.count("aa") == 1
