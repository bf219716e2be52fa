"""A browser's session: ends like a token, and by idling, and counts in a cookie alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from atoll.flow.access import Access, AccessSettings, Actor, UserRole
from atoll.flow.access.errors import UnauthenticatedError
from atoll.flow.access.permissions import PERMISSIONS
from atoll.flow.store import Database
from tests.flow.access.support import PASSWORD, Wall, boss, cheap, open_access, person

HOUR = 3600.0


def enter(access: Access, name: str = "admin") -> str:
    return access.login(name, PASSWORD, browser=True).token


def holds(access: Access, secret: str) -> bool:
    try:
        access.authenticate(secret, browser=True)
    except UnauthenticatedError:
        return False
    return True


def test_it_counts_as_a_browsers_and_nothing_else_does(access: Access, admin: Actor) -> None:
    secret, program = enter(access), access.login("admin", PASSWORD).token
    assert access.authenticate(secret, browser=True).session
    assert access.authenticate(program).session
    for token, browser in ((secret, False), (program, True)):
        with pytest.raises(UnauthenticatedError, match="ATL-ACC-002"):
            access.authenticate(token, browser=browser)


def test_it_ends_when_it_was_not_used_and_at_the_latest_when_a_login_does(
    database: Database, wall: Wall
) -> None:
    settings = AccessSettings(session_seconds=3 * HOUR, idle_seconds=HOUR)
    access = open_access(database, wall, settings)
    boss(access)
    program, idle, used = access.login("admin", PASSWORD).token, enter(access), enter(access)
    for _ in range(4):
        wall.now += HOUR / 2
        assert holds(access, used)
    assert not holds(access, idle)
    # Only a browser's session idles, and what has ended is not listed.
    assert access.authenticate(program).session
    listed = [token.name for token in access.tokens(access.authenticate(program))]
    assert listed.count("browser session") == 1
    wall.now += HOUR
    assert not holds(access, used)


def test_uses_outlive_a_restart(database: Database, wall: Wall) -> None:
    settings = AccessSettings(idle_seconds=HOUR)
    access = open_access(database, wall, settings)
    boss(access)
    secret = enter(access)
    wall.now += HOUR / 2
    assert holds(access, secret)
    database.write(lambda connection: None)
    again = open_access(database, wall, settings)
    wall.now += HOUR * 0.9
    assert holds(again, secret)
    wall.now += HOUR + 1
    assert not holds(again, secret)


def test_looking_whether_it_still_holds_is_no_use(database: Database, wall: Wall) -> None:
    access = open_access(database, wall, AccessSettings(idle_seconds=HOUR))
    boss(access)
    actor = access.authenticate(enter(access), browser=True)
    for _ in range(2):
        wall.now += HOUR / 2
        now = access.current(actor)
        assert now is not None
        assert now.permissions == actor.permissions
    wall.now += 1
    assert access.current(actor) is None


@pytest.mark.parametrize("how", ["logout", "disabled", "reset", "removed", "password", "revoked"])
def test_it_ends_as_every_session_does(access: Access, admin: Actor, how: str) -> None:
    person(access, admin, "ann", ["viewer"])
    secret = enter(access, "ann")
    actor = access.authenticate(secret, browser=True)
    ends: dict[str, Callable[[], object]] = {
        "logout": lambda: access.logout(actor),
        "disabled": lambda: access.set_disabled(admin, "ann", True),
        "reset": lambda: access.reset_password(admin, "ann"),
        "removed": lambda: access.remove_user(admin, "ann"),
        "password": lambda: access.change_password(
            access.authenticate(access.login("ann", PASSWORD).token), PASSWORD, "another battery x"
        ),
        "revoked": lambda: access.revoke_token(admin, actor.token),
    }
    assert holds(access, secret)
    ends[how]()
    assert not holds(access, secret)
    assert access.current(actor) is None


def test_a_node_may_know_more_permissions(database: Database, wall: Wall) -> None:
    table = {**PERMISSIONS, "board.pin": frozenset({UserRole.VIEWER})}
    access = Access(database, passwords=cheap(), wall=wall, permissions=table)
    admin = boss(access)
    viewer = person(access, admin, "vera", ["viewer"])
    owner = person(access, admin, "olga", ["data owner"])
    assert access.require(viewer, "board.pin") is viewer
    assert not owner.allows("board.pin")
    secret, made = access.create_token(viewer, "pin", ["board.pin"], days=1)
    assert made.scopes == {"board.pin"}
    assert access.authenticate(secret).permissions == {"board.pin"}
    # A node that no longer mounts it takes no notice of the scope.
    without = open_access(database, wall)
    assert without.authenticate(secret).permissions == frozenset()
    with pytest.raises(KeyError):
        without.require(viewer, "board.pin")
