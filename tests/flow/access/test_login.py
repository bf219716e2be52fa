from __future__ import annotations

import pytest
from sqlalchemy import select

from atoll.core.errors import AtollError
from atoll.flow.access import Access, AccessSettings, Actor, Passwords
from atoll.flow.access.errors import ThrottledError, UnauthenticatedError
from atoll.flow.store import Database, schema
from tests.flow.access.support import PASSWORD, Wall, boss, open_access, person


def failure(access: Access, name: str, password: str, client: str = "") -> AtollError:
    with pytest.raises(AtollError) as caught:
        access.login(name, password, client=client)
    return caught.value


def test_a_session_begins_holds_and_ends(access: Access, admin: Actor, wall: Wall) -> None:
    login = access.login("admin", PASSWORD, client="127.0.0.1")
    assert login.expires == wall.now + 12 * 3600
    actor = access.authenticate(login.token)
    assert (actor.user, actor.session, actor.must_change) == ("admin", True, False)
    access.logout(actor)
    with pytest.raises(UnauthenticatedError, match="ATL-ACC-002"):
        access.authenticate(login.token)
    assert access.authenticate(access.login("admin", PASSWORD).token).user == "admin"


def test_a_session_expires(access: Access, admin: Actor, wall: Wall) -> None:
    login = access.login("admin", PASSWORD)
    wall.now = login.expires - 0.01
    access.authenticate(login.token)
    wall.now = login.expires
    with pytest.raises(UnauthenticatedError, match="ATL-ACC-002"):
        access.authenticate(login.token)


def test_there_is_one_first_administrator(access: Access) -> None:
    assert access.bootstrap() is not None
    assert access.bootstrap() is None


def test_wrong_unknown_and_disabled_answer_alike(access: Access, admin: Actor) -> None:
    person(access, admin, "eve", ["viewer"])
    access.set_disabled(admin, "eve", True)
    answers = [
        failure(access, "admin", "wrong password").to_dict(),
        failure(access, "nobody", "wrong password").to_dict(),
        failure(access, "eve", PASSWORD).to_dict(),
        failure(access, "\0 no name at all \ud800", "wrong password").to_dict(),
        failure(access, "admin", "x" * 100_000).to_dict(),
    ]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["code"] == "ATL-ACC-001"


@pytest.mark.parametrize("name", ["admin", "nobody"])
def test_guessing_is_slowed_for_names_that_exist_and_others_alike(
    access: Access, admin: Actor, wall: Wall, name: str
) -> None:
    for _ in range(6):
        assert failure(access, name, "wrong password").code == "ATL-ACC-001"
    blocked = failure(access, name, PASSWORD)
    assert isinstance(blocked, ThrottledError)
    assert blocked.retry_after == 1.0
    wall.now += 1.0
    assert failure(access, name, "wrong password").code == "ATL-ACC-001"
    later = failure(access, name, PASSWORD)
    assert isinstance(later, ThrottledError)
    assert later.retry_after == 2.0


def test_the_right_password_after_the_wait_clears_the_lock(
    access: Access, admin: Actor, wall: Wall
) -> None:
    for _ in range(6):
        failure(access, "admin", "wrong password")
    wall.now += 1.0
    access.login("admin", PASSWORD)
    assert access.user(admin, "admin").failures == 0
    for _ in range(5):
        assert failure(access, "admin", "wrong password").code == "ATL-ACC-001"
    access.login("admin", PASSWORD)


def test_a_lock_survives_a_restart(database: Database, wall: Wall) -> None:
    before = open_access(database, wall)
    boss(before)
    for _ in range(8):
        failure(before, "admin", "wrong password")
        wall.now += 1.0
    after = open_access(database, wall)
    wall.now -= 0.5
    assert failure(after, "admin", PASSWORD).code == "ATL-ACC-004"
    wall.now += 900.0
    after.login("admin", PASSWORD)


def test_one_address_that_tries_many_names_is_slowed(database: Database, wall: Wall) -> None:
    access = open_access(database, wall, AccessSettings(free_failures_of_address=4))
    boss(access)
    for number in range(5):
        assert failure(access, f"user{number}", "wrong", "203.0.113.9").code == "ATL-ACC-001"
    assert failure(access, "admin", PASSWORD, "203.0.113.9").code == "ATL-ACC-004"
    access.login("admin", PASSWORD, client="203.0.113.10")


def test_a_login_does_not_wipe_out_the_guesses_of_its_address(
    database: Database, wall: Wall
) -> None:
    access = open_access(database, wall, AccessSettings(free_failures_of_address=4))
    boss(access)
    for number in range(4):
        failure(access, f"user{number}", "wrong", "203.0.113.9")
        access.login("admin", PASSWORD, client="203.0.113.9")
    failure(access, "user9", "wrong", "203.0.113.9")
    assert failure(access, "admin", PASSWORD, "203.0.113.9").code == "ATL-ACC-004"


def test_the_hash_follows_the_parameters(database: Database, wall: Wall) -> None:
    boss(open_access(database, wall))

    def stored() -> str:
        query = select(schema.users.c.password)
        return str(database.read(lambda c: c.execute(query).scalar()))

    assert "t=1" in stored()
    harder = Access(
        database, passwords=Passwords(time_cost=2, memory_kib=8, parallelism=1), wall=wall
    )
    harder.login("admin", PASSWORD)
    assert "t=2" in stored()
    harder.login("admin", PASSWORD)


def test_a_new_password_ends_the_other_sessions(access: Access, admin: Actor) -> None:
    here, there = access.login("admin", PASSWORD), access.login("admin", PASSWORD)
    access.change_password(access.authenticate(here.token), PASSWORD, "another long password")
    access.authenticate(here.token)
    with pytest.raises(UnauthenticatedError):
        access.authenticate(there.token)
    assert failure(access, "admin", PASSWORD).code == "ATL-ACC-001"


def test_changing_a_password_needs_the_old_one(access: Access, admin: Actor) -> None:
    for _ in range(6):
        with pytest.raises(UnauthenticatedError, match="ATL-ACC-001"):
            access.change_password(admin, "wrong password", "another long password")
    with pytest.raises(ThrottledError):
        access.change_password(admin, PASSWORD, "another long password")
    with pytest.raises(AtollError, match="ATL-ACC-005"):
        access.change_password(admin, PASSWORD, "short")


def test_old_sessions_make_room(access: Access, admin: Actor, wall: Wall) -> None:
    first = access.login("admin", PASSWORD)
    for _ in range(50):
        wall.now += 1
        last = access.login("admin", PASSWORD)
    access.authenticate(last.token)
    with pytest.raises(UnauthenticatedError):
        access.authenticate(first.token)
    assert len(access.tokens(admin)) == 50


def test_neither_passwords_nor_tokens_are_stored_or_logged(
    access: Access, admin: Actor, database: Database
) -> None:
    login = access.login("admin", PASSWORD)
    failure(access, "SecretTypedIntoTheWrongField", "another secret text")
    secret, _ = access.create_token(admin, "ci", ["job.read"], days=1)
    file = database.file
    assert file is not None
    kept = b"".join(path.read_bytes() for path in file.parent.iterdir() if path.is_file())
    for text in (PASSWORD, login.token, secret, "SecretTypedIntoTheWrongField", "another secret"):
        assert text.encode() not in kept
