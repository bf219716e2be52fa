from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import select

from atoll.core.errors import AtollError
from atoll.flow.access import PERMISSIONS, Access, AccessSettings, Actor
from atoll.flow.access.errors import DeniedError, NotFoundError, UnauthenticatedError
from atoll.flow.store import Database, schema
from tests.flow.access.support import START, Wall, boss, open_access, person

DAY = 86400.0


def test_a_token_is_long_random_and_known_by_its_hash_alone(
    access: Access, admin: Actor, database: Database
) -> None:
    secret, token = access.create_token(admin, "ci", ["job.read"], days=30)
    other, _ = access.create_token(admin, "cd", ["job.read"], days=30)
    assert secret.startswith("atoll_")
    assert len(secret) == 49
    assert secret != other
    query = select(schema.tokens.c.hash).where(schema.tokens.c.id == token.id)
    stored = database.read(lambda c: c.execute(query).scalar())
    assert stored == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(token.to_dict())


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_a_token_may_do_its_scopes_and_no_more(
    access: Access, admin: Actor, permission: str
) -> None:
    secret, _ = access.create_token(admin, "one", [permission], days=1)
    actor = access.authenticate(secret)
    assert not actor.session
    assert actor.permissions == {permission}
    for name in PERMISSIONS:
        assert actor.allows(name) == (name == permission)


def test_a_token_loses_what_its_owner_loses(access: Access, admin: Actor) -> None:
    owner = person(access, admin, "ann", ["modeller", "data owner"])
    secret, _ = access.create_token(owner, "ci", ["job.submit", "data.write"], days=1)
    access.set_roles(admin, "ann", ["modeller"])
    assert access.authenticate(secret).permissions == {"job.submit"}
    access.set_roles(admin, "ann", [])
    assert access.authenticate(secret).permissions == frozenset()


def test_a_token_cannot_have_more_than_its_owner(access: Access, admin: Actor) -> None:
    viewer = person(access, admin, "vic", ["viewer"])
    with pytest.raises(DeniedError, match="ATL-ACC-014"):
        access.create_token(viewer, "more", ["job.read", "job.submit"], days=1)
    secret, _ = access.create_token(admin, "narrow", ["token.write", "job.read"], days=2)
    narrow = access.authenticate(secret)
    with pytest.raises(DeniedError, match="ATL-ACC-014"):
        access.create_token(narrow, "wider", ["admin"], days=1)
    _, made = access.create_token(narrow, "longer", ["job.read"], days=300)
    assert made.expires == narrow.expires


def test_a_token_ends_with_its_time(access: Access, admin: Actor, wall: Wall) -> None:
    secret, token = access.create_token(admin, "ci", ["job.read"], days=1)
    assert token.expires == START + DAY
    wall.now = token.expires - 0.01
    access.authenticate(secret)
    wall.now = token.expires
    with pytest.raises(UnauthenticatedError, match="ATL-ACC-002"):
        access.authenticate(secret)


@pytest.mark.parametrize("days", [0, -1, 366, float("inf"), float("nan")])
def test_an_end_is_a_must_and_has_a_limit(access: Access, admin: Actor, days: float) -> None:
    with pytest.raises(AtollError, match="ATL-ACC-011"):
        access.create_token(admin, "ci", ["job.read"], days=days)


@pytest.mark.parametrize("scopes", [[], ["job.explode"], ["*"], ["job.read", ""]])
def test_scopes_are_permissions(access: Access, admin: Actor, scopes: list[str]) -> None:
    with pytest.raises(AtollError, match="ATL-ACC-010"):
        access.create_token(admin, "ci", scopes, days=1)


@pytest.mark.parametrize("name", ["", "x" * 257, "two\nlines"])
def test_a_token_has_a_name_that_can_be_shown(access: Access, admin: Actor, name: str) -> None:
    with pytest.raises(AtollError, match="ATL-ACC-011"):
        access.create_token(admin, name, ["job.read"], days=1)


def test_there_are_so_many_tokens_and_no_more(database: Database, wall: Wall) -> None:
    access = open_access(database, wall, AccessSettings(most_tokens=3))
    admin = boss(access)
    for name in ("one", "two"):
        access.create_token(admin, name, ["job.read"], days=1)
    with pytest.raises(AtollError, match="ATL-ACC-011"):
        access.create_token(admin, "three", ["job.read"], days=1)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "atoll_",
        "Bearer x",
        "atoll_" + "A" * 43,
        "atoll_" + "A" * 44,
        "atoll_' OR 1=1 --",
        "atoll_" + "é" * 43,
        "x" * 1_000_000,
    ],
)
def test_what_is_no_token_is_refused(access: Access, admin: Actor, token: str) -> None:
    with pytest.raises(UnauthenticatedError, match="ATL-ACC-002") as caught:
        access.authenticate(token)
    assert len(token) < 10 or token not in str(caught.value)


def test_a_revoked_token_is_refused_at_once(access: Access, admin: Actor) -> None:
    secret, token = access.create_token(admin, "ci", ["job.read"], days=1)
    access.authenticate(secret)
    access.revoke_token(admin, token.id)
    with pytest.raises(UnauthenticatedError):
        access.authenticate(secret)
    assert token.id not in {entry.id for entry in access.tokens(admin)}


def test_only_its_owner_and_administrators_revoke_a_token(access: Access, admin: Actor) -> None:
    ann = person(access, admin, "ann", ["modeller"])
    bob = person(access, admin, "bob", ["modeller", "approver", "auditor"])
    _, token = access.create_token(ann, "ci", ["job.read"], days=1)
    for identifier in (token.id, "0" * 16, "no id", ""):
        with pytest.raises(NotFoundError, match="ATL-ACC-012"):
            access.revoke_token(bob, identifier)
    assert len(access.tokens(bob, "ann")) == 2
    with pytest.raises(DeniedError):
        access.tokens(ann, "bob")
    access.revoke_token(admin, token.id)


def test_the_last_use_is_noted_once_a_minute(
    access: Access, admin: Actor, wall: Wall, database: Database
) -> None:
    secret, token = access.create_token(admin, "ci", ["job.read"], days=1)

    def used() -> float | None:
        database.write(lambda _: None)
        return next(entry.used for entry in access.tokens(admin) if entry.id == token.id)

    assert used() is None
    access.authenticate(secret)
    assert used() == START
    wall.now += 59
    access.authenticate(secret)
    assert used() == START
    wall.now += 1
    access.authenticate(secret)
    assert used() == START + 60
