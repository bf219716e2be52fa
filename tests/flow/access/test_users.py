from __future__ import annotations

from collections.abc import Callable

import pytest

from atoll.core.errors import AtollError
from atoll.flow.access import ROLES, Access, Actor
from atoll.flow.access.errors import ConflictError, DeniedError, UnauthenticatedError
from tests.flow.access.support import PASSWORD, person


def test_a_new_user_gets_a_password_that_must_be_changed(access: Access, admin: Actor) -> None:
    first = access.add_user(admin, "ann", ["viewer"])
    assert first is not None
    actor = access.authenticate(access.login("ann", first).token)
    assert actor.must_change
    assert not actor.allows("job.read")
    access.change_password(actor, first, PASSWORD)
    assert access.authenticate(access.login("ann", PASSWORD).token).allows("job.read")


def test_a_given_password_is_not_returned_and_must_be_changed(access: Access, admin: Actor) -> None:
    assert access.add_user(admin, "ann", ["viewer"], PASSWORD) is None
    assert access.authenticate(access.login("ann", PASSWORD).token).must_change


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Ann",
        "ann lee",
        "../etc",
        "anonymous",
        "system",
        "local",
        "policy",
        "restore",
        "party:x",
        "a" * 65,
    ],
)
def test_names_are_plain(access: Access, admin: Actor, name: str) -> None:
    with pytest.raises(AtollError, match="ATL-ACC-007"):
        access.add_user(admin, name, ["viewer"])


def test_a_name_is_given_once_and_roles_exist(access: Access, admin: Actor) -> None:
    access.add_user(admin, "ann", ["viewer"])
    with pytest.raises(ConflictError, match="ATL-ACC-007"):
        access.add_user(admin, "ann", ["viewer"])
    with pytest.raises(AtollError, match="ATL-ACC-010"):
        access.add_user(admin, "bob", ["emperor"])
    with pytest.raises(AtollError, match="ATL-ACC-010"):
        access.set_roles(admin, "ann", ["viewer", "emperor"])


def test_roles_change_at_once_also_for_open_sessions(access: Access, admin: Actor) -> None:
    access.add_user(admin, "ann", ["viewer"], PASSWORD)
    token = access.login("ann", PASSWORD).token
    access.change_password(access.authenticate(token), PASSWORD, PASSWORD + "!")
    assert not access.authenticate(token).allows("job.submit")
    access.set_roles(admin, "ann", ["modeller"])
    assert access.authenticate(token).allows("job.submit")
    access.set_roles(admin, "ann", ["viewer"])
    assert not access.authenticate(token).allows("job.submit")


def test_disabling_revokes_everything_for_good(access: Access, admin: Actor) -> None:
    ann = person(access, admin, "ann", ["modeller"])
    session = access.login("ann", PASSWORD).token
    secret, _ = access.create_token(ann, "ci", ["job.read"], days=1)
    access.set_disabled(admin, "ann", True)
    for token in (session, secret):
        with pytest.raises(UnauthenticatedError):
            access.authenticate(token)
    with pytest.raises(UnauthenticatedError, match="ATL-ACC-001"):
        access.login("ann", PASSWORD)
    access.set_disabled(admin, "ann", False)
    for token in (session, secret):
        with pytest.raises(UnauthenticatedError):
            access.authenticate(token)
    access.login("ann", PASSWORD)


def test_removing_a_user_ends_sessions_and_frees_the_name(access: Access, admin: Actor) -> None:
    ann = person(access, admin, "ann", ["modeller"])
    secret, _ = access.create_token(ann, "ci", ["job.read"], days=1)
    access.remove_user(admin, "ann")
    with pytest.raises(UnauthenticatedError):
        access.authenticate(secret)
    with pytest.raises(AtollError, match="ATL-ACC-008"):
        access.user(admin, "ann")
    access.add_user(admin, "ann", ["viewer"])
    with pytest.raises(UnauthenticatedError):
        access.authenticate(secret)


CHANGES: dict[str, Callable[[Access, Actor, str], object]] = {
    "remove": lambda access, actor, name: access.remove_user(actor, name),
    "disable": lambda access, actor, name: access.set_disabled(actor, name, True),
    "demote": lambda access, actor, name: access.set_roles(actor, name, ["viewer"]),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_the_last_administrator_stays(access: Access, admin: Actor, change: str) -> None:
    with pytest.raises(ConflictError, match="ATL-ACC-009"):
        CHANGES[change](access, admin, "admin")
    second = person(access, admin, "second", ["administrator"])
    access.set_disabled(admin, "second", True)
    with pytest.raises(ConflictError, match="ATL-ACC-009"):
        CHANGES[change](access, admin, "admin")
    access.set_disabled(admin, "second", False)
    second = access.authenticate(access.login("second", PASSWORD).token)
    CHANGES[change](access, second, "admin")
    with pytest.raises(ConflictError, match="ATL-ACC-009"):
        CHANGES[change](access, second, "second")


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_only_administrators_change_users(access: Access, admin: Actor, change: str) -> None:
    actor = person(access, admin, "ann", [role for role in ROLES if role != "administrator"])
    access.add_user(admin, "bob", ["viewer"])
    with pytest.raises(DeniedError, match="ATL-ACC-003"):
        CHANGES[change](access, actor, "bob")
    with pytest.raises(DeniedError, match="ATL-ACC-003"):
        access.add_user(actor, "eve", ["administrator"])
    with pytest.raises(DeniedError, match="ATL-ACC-003"):
        access.reset_password(actor, "admin")


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_who_is_not_there_cannot_be_changed(access: Access, admin: Actor, change: str) -> None:
    with pytest.raises(AtollError, match="ATL-ACC-008"):
        CHANGES[change](access, admin, "ghost")
    with pytest.raises(AtollError, match="ATL-ACC-008"):
        access.reset_password(admin, "ghost")


def test_a_reset_ends_a_lock_and_all_sessions(access: Access, admin: Actor) -> None:
    ann = person(access, admin, "ann", ["modeller"])
    secret, _ = access.create_token(ann, "ci", ["job.read"], days=1)
    for _ in range(6):
        with pytest.raises(UnauthenticatedError):
            access.login("ann", "wrong password")
    fresh = access.reset_password(admin, "ann")
    assert fresh is not None
    with pytest.raises(UnauthenticatedError):
        access.authenticate(secret)
    assert access.authenticate(access.login("ann", fresh).token).must_change


def test_a_list_is_paged_and_shows_no_hash(access: Access, admin: Actor) -> None:
    for number in range(5):
        access.add_user(admin, f"user{number}", ["viewer"], PASSWORD)
    first = access.users(admin, limit=4)
    rest = access.users(admin, after=first.next, limit=4)
    names = [user.name for user in (*first, *rest)]
    assert names == ["admin", *(f"user{number}" for number in range(5))]
    assert rest.next is None
    assert all("argon2" not in str(user.to_dict()) for user in first)


def test_one_may_look_at_oneself_only(access: Access, admin: Actor) -> None:
    ann = person(access, admin, "ann", ["viewer"])
    assert access.user(ann, "ann").roles == {"viewer"}
    with pytest.raises(DeniedError, match="ATL-ACC-003"):
        access.user(ann, "admin")
    with pytest.raises(DeniedError, match="ATL-ACC-003"):
        access.users(ann)
