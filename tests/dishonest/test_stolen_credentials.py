"""Whoever stole a password, a session or a token, while its owner takes it away.

Each race is played in one thread: what the owner does happens where the thief's request is between
its check and its write, or the thief goes on with an actor that was let in before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atoll.flow.access import Access, Actor, Passwords, local_actor
from atoll.flow.policy.grants import Caps
from tests.channel.grpc.world import LONG, refused
from tests.dishonest.test_enrolment import parties
from tests.flow.access.support import PASSWORD, Wall, boss, cheap, open_database, person
from tests.flow.api.site import LIMITS, site
from tests.flow.node.test_standing_book import Desk, desk, standing
from tests.flow.policy.plans import GUEST, plan_of

__all__ = ["desk"]

NEW = "another horse battery"


class Held(Passwords):
    """Does what ``meanwhile`` says, once, after a password was found right and before it counts."""

    def __init__(self, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_kib=8, parallelism=1)
        self.meanwhile: Callable[[], object] | None = None

    def verify(self, stored: str | None, password: str) -> bool:
        right = super().verify(stored, password)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return right


class House:
    """A node's people: eve, whose password or token was stolen, and an administrator."""

    def __init__(self, access: Access, held: Held) -> None:
        self.access, self.held = access, held
        self.admin = boss(access)
        self.mine = person(access, self.admin, "eve", ["modeller"])
        self.stolen = self.session()

    def session(self, password: str = PASSWORD) -> Actor:
        return self.access.authenticate(self.access.login("eve", password).token)

    def change(self) -> None:
        self.access.change_password(self.mine, PASSWORD, NEW)

    def reset(self) -> None:
        self.access.reset_password(self.admin, "eve", NEW)

    def disable(self) -> None:
        self.access.set_disabled(self.admin, "eve", True)

    def replace(self) -> None:
        self.access.remove_user(self.admin, "eve")
        self.access.add_user(self.admin, "eve", ["modeller"], NEW)

    def left(self) -> set[str]:
        """Return the ids of eve's sessions and tokens."""
        return {one.id for one in self.access.tokens(self.admin, "eve")}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    held = Held()
    with open_database(tmp_path) as database:
        yield House(Access(database, passwords=held, wall=Wall()), held)


@pytest.mark.parametrize("act", [House.change, House.reset, House.disable, House.replace])
@pytest.mark.parametrize("browser", [False, True])
def test_a_login_in_flight_outlives_the_password(
    house: House, act: Callable[[House], None], browser: bool
) -> None:
    """Lie: a thief of the old password logs in, over and over, while it is changed.

    Rule: a session is opened only with the password that is stored at that moment (ATL-ACC-001).
    """
    house.held.meanwhile = lambda: act(house)
    with refused("ATL-ACC-001"):
        house.access.login("eve", PASSWORD, browser=browser)
    assert house.left() == ({house.mine.token} if act is House.change else set())
    line = house.access.audit.page(newest_first=True).rows[0]
    assert (line["action"], line["outcome"]) == ("login", "refused")
    if act is House.disable:
        house.access.set_disabled(house.admin, "eve", False)
        assert house.left() == set()


def test_an_own_login_outlives_a_new_hash_of_the_same_password(house: House) -> None:
    """Honest: two logins at once after the parameters of hashes were changed; both hold."""
    house.access._passwords = harder = Held(time_cost=2)
    other: list[Actor] = []
    harder.meanwhile = lambda: other.append(house.session())
    assert house.session().user == "eve"
    assert house.access.current(other[0]) is not None
    assert not harder.outdated(house.access.user(house.admin, "eve").password or "")


@pytest.mark.parametrize("act", [House.change, House.reset, House.disable, House.replace])
def test_a_change_in_flight_overwrites_what_took_the_password_away(
    house: House, act: Callable[[House], None]
) -> None:
    """Lie: a thief of password and session changes the password while the owner's is set.

    Rule: the own session must hold when the new password is written (ATL-ACC-002).
    """
    house.held.meanwhile = lambda: act(house)
    with refused("ATL-ACC-002"):
        house.access.change_password(house.stolen, PASSWORD, "the thief's battery")
    with refused("ATL-ACC-001"):
        house.access.login("eve", "the thief's battery")
    if act is not House.disable:
        assert house.session(NEW).user == "eve"


def test_two_changes_of_one_session(house: House) -> None:
    """Lie: a thief shares the session that the owner uses; both change the password.

    Rule: the second was checked against a password that is no more (ATL-ACC-001).
    """
    house.held.meanwhile = house.change
    with refused("ATL-ACC-001"):
        house.access.change_password(house.mine, PASSWORD, "the thief's battery")
    assert house.session(NEW).user == "eve"


CHANGES: dict[str, Callable[[Access, Actor], Any]] = {
    "token": lambda access, by: access.create_token(by, "mine", {"job.read"}, days=9),
    "revoke": lambda access, by: access.revoke_token(
        by, next(t.id for t in access.tokens(by) if t.name == "nightly")
    ),
    "user": lambda access, by: access.add_user(by, "mallory", ["administrator"], NEW),
    "roles": lambda access, by: access.set_roles(by, "eve", ["administrator"]),
    "disable": lambda access, by: access.set_disabled(by, "eve", True),
    "reset": lambda access, by: access.reset_password(by, "eve", NEW),
    "remove": lambda access, by: access.remove_user(by, "eve"),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("session", [True, False])
def test_a_request_in_flight_makes_what_stays(house: House, change: str, session: bool) -> None:
    """Lie: a thief's requests, let in before the password was changed, are written after it.

    Rule: the token must hold in the transaction of the change (ATL-ACC-002).
    """
    access, mine = house.access, house.admin
    stolen = access.authenticate(access.login("admin", PASSWORD).token)
    access.create_token(mine, "nightly", {"job.read"}, days=9)
    if not session:
        secret, _ = access.create_token(mine, "stolen", mine.permissions, days=9)
        stolen = access.authenticate(secret)
    access.change_password(mine, PASSWORD, NEW, keep=["nightly"])
    before = house.left(), {one.id for one in access.tokens(mine)}
    with refused("ATL-ACC-002"):
        CHANGES[change](access, stolen)
    assert (house.left(), {one.id for one in access.tokens(mine)}) == before
    assert [user.name for user in access.users(mine).rows] == ["admin", "eve"]
    assert access.user(mine, "eve").roles == {"modeller"}
    line = access.audit.page(newest_first=True).rows[0]
    assert (line["actor"], line["outcome"], line["detail"]["code"]) == (
        "admin",
        "refused",
        "ATL-ACC-002",
    )


def test_a_role_is_taken_away_in_flight(house: House) -> None:
    """Lie: an administrator who is none any more, with a request let in before.

    Rule: the role must hold in the transaction of the change, too (ATL-ACC-003).
    """
    second = person(house.access, house.admin, "second", ["administrator"])
    house.access.set_roles(house.admin, "second", ["viewer"])
    with refused("ATL-ACC-003"):
        house.access.set_roles(second, "second", ["administrator"])
    assert house.access.user(house.admin, "second").roles == {"viewer"}


def test_grants_and_approvals_in_flight(desk: Desk) -> None:
    """Lie: a thief's grant, cap and approval, let in before the password was changed.

    Rule: as for users and tokens; an agreement is not ended either (ATL-ACC-002).
    """
    access, policies, plan = desk.access, desk.policies, plan_of()
    held = desk.grant()
    agreement = desk.run(standing())
    policies.consider("job-1", plan, GUEST)
    policies.consider("job-2", plan, GUEST)
    stolen = access.authenticate(access.login("admin", PASSWORD).token)
    access.change_password(desk.admin, PASSWORD, NEW)
    grants = policies.grants
    terms = {"partners": ["*"], "components": ["psi"], "automatic": True}
    before = grants.list(desk.admin).rows, len(desk.audited("job.decide"))
    acts: list[Callable[[], object]] = [
        lambda: grants.add(stolen, "baskets", terms),
        lambda: grants.revoke(stolen, held),
        lambda: grants.cap(stolen, "baskets", "*", Caps(runs=1)),
        lambda: policies.approve(stolen, "job-1", plan, plan.digest(), GUEST),
        lambda: policies.refuse(stolen, "job-2", plan.digest(), "no"),
        lambda: desk.book.end(stolen, agreement),
    ]
    for act in acts:
        with refused("ATL-ACC-002"):
            act()
    assert (grants.list(desk.admin).rows, len(desk.audited("job.decide"))) == before
    assert not grants.caps(desk.admin, "baskets")
    assert desk.book.live(agreement).id == agreement


def test_partners_in_flight(tmp_path: Path) -> None:
    """Lie: a thief's partner, or code of invitation, let in before the password was changed.

    Rule: as for users and tokens (ATL-ACC-002).
    """
    with parties(tmp_path, "bank", "shop") as (bank, shop):
        admin = boss(bank.access)
        stolen = bank.access.authenticate(bank.access.login("admin", PASSWORD).token)
        code = shop.invite("bank")
        bank.access.change_password(admin, PASSWORD, NEW)
        authority = shop.identity.ca.decode()
        acts: list[Callable[[], object]] = [
            lambda: bank.parties.add("shop", authority, None, stolen),
            lambda: bank.parties.invite("shop", stolen),
            lambda: bank.parties.accept(code.code(), code.address, stolen),
            lambda: bank.parties.rotate(stolen),
        ]
        for act in acts:
            with refused("ATL-ACC-002"):
                act()
        assert not bank.identity.peers
        assert not bank.parties.invitations(limit=9, after=None).rows


def test_a_body_that_comes_after_the_token_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lie: a thief sends the head of a request, and the body once the token was revoked.

    Rule: whoever was let in is looked at again at the body's end (ATL-ACC-002). A real node takes
    some seconds to start.
    """
    settings = replace(LIMITS, body_seconds=LONG, stall_seconds=LONG, request_seconds=LONG)
    sent = {
        ("POST", "/jobs", "application/json"): b'{"job": {}}',
        ("PUT", "/data/late/content", "application/octet-stream"): b"id,x\na,1\n",
    }
    with site(tmp_path, settings) as here:
        access = here.node.access
        let_in = threading.Event()
        authenticate = access.authenticate

        def noticed(*arguments: Any, **named: Any) -> Actor:
            actor = authenticate(*arguments, **named)
            let_in.set()
            return actor

        def late(name: str, body: bytes) -> Iterator[bytes]:
            yield body[:5]
            assert let_in.wait(LONG)
            access.set_disabled(local_actor(), name, True)
            yield body[5:]

        monkeypatch.setattr(access, "authenticate", noticed)
        before = here.trace()[0]
        for number, ((method, path, kind), body) in enumerate(sent.items()):
            name = here.person(f"eve{number}", "modeller", "data owner")
            let_in.clear()
            with here.client(name) as client:
                found = client.request(
                    method, path, content=late(name, body), headers={"content-type": kind}
                )
            assert (found.status_code, found.json()["error"]["code"]) == (401, "ATL-ACC-002")
        assert here.trace()[0] == before


def test_the_owner_goes_on(house: House) -> None:
    """Honest: a session that changed the password makes tokens; a wrong ``keep`` is no guess."""
    for _ in range(8):
        with refused("ATL-ACC-016"):
            house.access.change_password(house.mine, PASSWORD, NEW, keep=["nightli"])
    house.change()
    secret, _ = house.access.create_token(house.mine, "nightly", {"job.read"}, days=9)
    assert house.access.authenticate(secret).user == "eve"
    assert cheap().verify(house.access.user(house.admin, "eve").password, NEW)
