"""Liars at enrolment and access: codes, addresses, passwords, sessions without end.

The honest party is what a node runs: its partners, its people and its book of agreements.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from atoll.channel.grpc import Call, Gateway, enrol
from atoll.channel.identity import (
    Identity,
    Newest,
    distrust,
    fingerprint,
    init_party,
    load_party,
    note_newest,
    renew,
    trust,
)
from atoll.channel.identity.certificates import read_chain
from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.flow.access import Actor
from atoll.flow.node.partners.invitations import Invitation, read_code
from atoll.flow.node.partners.service import PartyService
from atoll.flow.node.standing.agreement import FIRST_SESSION
from tests.channel.grpc.nodes import until
from tests.channel.grpc.world import LONG, refused
from tests.flow.access.support import PASSWORD, Wall, boss, open_access, open_database, person
from tests.flow.node.test_standing_book import Desk, desk, standing
from tests.flow.policy.plans import GUEST

__all__ = ["desk"]

ADMIN = Actor("admin", frozenset())
SHORT = 2.0


class Trap:
    """A listener inside the bank's own network, which no partner should have dialled."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.dialled = 0
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        with suppress(OSError):
            while True:
                self.listener.accept()[0].close()
                self.dialled += 1

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()


@pytest.fixture
def trap() -> Iterator[Trap]:
    made = Trap()
    yield made
    made.close()


class Party:
    """A node's gateway and partners, whose calls are answered as a node answers them."""

    def __init__(self, root: Path, name: str, advertise: str = "") -> None:
        self.folder = root / name
        self.folder.mkdir()
        init_party(self.folder, name)
        identity = load_party(self.folder)
        self.database = open_database(self.folder)
        self.access = open_access(self.database, Wall())
        self.audit = self.access.audit
        self.gateway = Gateway(identity, self.folder / "g.sock", listen="127.0.0.1:0")
        self.parties = PartyService(
            self.folder,
            self.database,
            self.gateway,
            self.access,
            advertise=advertise,
            call_seconds=SHORT,
        )
        self.parties.start()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def identity(self) -> Identity:
        return self.parties.identity

    @property
    def address(self) -> str:
        assert self.gateway.address is not None
        return self.gateway.address

    def _serve(self) -> None:
        answers: dict[str, Callable[[Call], bytes]] = {
            "ping": lambda call: self.parties.answer_ping(),
            "enrol": self.parties.answer_enrolment,
        }
        while not self._closing.is_set():
            call = self.gateway.next_call(0.05)
            if call is None:
                continue
            try:
                self.gateway.answer(call, answers[call.kind](call))
            except AtollError as error:
                self.gateway.refuse(call, error.code)

    def invite(self, party: str) -> Invitation:
        return read_code(str(self.parties.invite(party, ADMIN)["code"]))

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self.parties.close()
        self.gateway.close()
        self.database.close()


@contextmanager
def parties(root: Path, *names: str) -> Iterator[list[Party]]:
    made = [Party(root, name) for name in names]
    try:
        yield made
    finally:
        for party in made:
            party.close()


def bring(bank: Party, code: Invitation, **lies: Any) -> bytes:
    """Bring a code to the bank as a stranger, with what the liar states of itself."""
    stated = {"id": code.id, "secret": code.secret, "party": code.invited, **lies}
    body = codec.encode(stated)
    return bytes(enrol(bank.address, "bank", code.authority, body, LONG))


def peer_code(error: AtollError) -> str:
    return getattr(error, "peer_code", error.code)


def denied(code: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: peer_code(error) == code)


def test_a_code_is_used_by_another_and_twice(tmp_path: Path) -> None:
    """Lie: a code that the shop was given is brought by the mill, with a guess, and once more.

    Rule: a code is for one party, once, whatever key comes with it (ATL-NOD-011, no reason given).
    """
    with parties(tmp_path, "bank", "shop", "mill") as (bank, shop, mill):
        code = bank.invite("shop")
        bank.invite("other")
        stated = {"authority": mill.identity.ca, "address": ""}
        with denied("ATL-NOD-011"):
            bring(bank, code, party="mill", **stated)
        with denied("ATL-NOD-011"):
            bring(bank, code, secret=bytes(16), **stated)
        bring(bank, code, authority=shop.identity.ca, address="")
        for authority in (shop.identity.ca, mill.identity.ca):
            with denied("ATL-NOD-011"):
                bring(bank, code, authority=authority, address="")
        assert bank.identity.peers.keys() == {"shop"}
        assert bank.identity.peers["shop"].ca == shop.identity.ca


def test_a_code_for_a_partner_brings_another_key(tmp_path: Path) -> None:
    """Lie: a code for a party that is a partner already is brought with the liar's own authority.

    Rule: a pin is replaced by people alone (ATL-PTY-004), and no authority is pinned twice.
    """
    with parties(tmp_path, "bank", "shop", "mill") as (bank, shop, mill):
        bring(bank, bank.invite("shop"), authority=shop.identity.ca, address="")
        with denied("ATL-PTY-004"):
            bring(bank, bank.invite("shop"), authority=mill.identity.ca, address="")
        with denied("ATL-PTY-003"):
            bring(bank, bank.invite("mill"), authority=shop.identity.ca, address="")
        assert bank.identity.peers["shop"].ca == shop.identity.ca


def test_a_second_code_comes_back_after_the_trust_was_withdrawn(tmp_path: Path) -> None:
    """Lie: of two codes one was used; the other is brought, with another key, after a revocation.

    Rule: withdrawing the trust ends the party's open codes (ATL-NOD-011), and the audit log has
    each code that was made, used, refused and withdrawn.
    """
    with parties(tmp_path, "bank", "shop", "mill") as (bank, shop, mill):
        first, second, others = bank.invite("shop"), bank.invite("shop"), bank.invite("mill")
        bring(bank, first, authority=shop.identity.ca, address="")
        bank.parties.remove("shop", ADMIN)
        with denied("ATL-NOD-011"):
            bring(bank, second, authority=mill.identity.ca, address="")
        assert not bank.identity.peers
        (left,) = bank.parties.invitations(limit=10, after=None).rows
        assert (left["id"], left["party"]) == (others.id, "mill")
        bank.parties.withdraw(others.id, ADMIN)
        for code in (others.id, second.id, "nothing"):
            with refused("ATL-NOD-034"):
                bank.parties.withdraw(code, ADMIN)
        assert not bank.parties.invitations(limit=10, after=None).rows
        bank.parties.invite("mill", ADMIN)
        with denied("ATL-NOD-011"):
            bring(bank, others, authority=mill.identity.ca, address="")
        lines = [line for line in bank.audit.page().rows if line["action"] != "invitation.make"]
        assert [(one["actor"], one["action"], one["target"], one["outcome"]) for one in lines] == [
            ("party:shop", "invitation.use", first.id, "done"),
            ("party:shop", "party.add", "shop", "done"),
            ("admin", "invitation.withdraw", second.id, "done"),
            ("admin", "party.remove", "shop", "done"),
            ("anonymous", "invitation.use", second.id, "refused"),
            ("admin", "invitation.withdraw", others.id, "done"),
            ("anonymous", "invitation.use", others.id, "refused"),
        ]
        assert lines[1]["detail"]["fingerprint"] == fingerprint(shop.identity.ca)


def test_a_code_is_brought_that_was_never_made(tmp_path: Path) -> None:
    """Lie: someone without a code tries many, with control characters and long names in them.

    Rule: each is refused and in the audit log, a few lines a minute and a number for the rest.
    """
    with parties(tmp_path, "bank", "mill") as (bank, mill):
        code = bank.invite("shop")
        stated = {"authority": mill.identity.ca, "address": ""}
        for number in range(15):
            with denied("ATL-NOD-011"):
                bring(bank, code, id=f"{number}\n" * 100, **stated)
        lines = [line for line in bank.audit.page().rows if line["action"] == "invitation.use"]
        assert 0 < len(lines) <= 10
        assert all("\n" not in line["target"] and len(line["target"]) <= 64 for line in lines)


def test_an_enrolment_leads_the_inviter_into_its_own_network(tmp_path: Path, trap: Trap) -> None:
    """Lie: the invited party says that it listens at an address inside the bank's network.

    Rule: what a partner offers is not dialled (ATL-NET-042) until people state it.
    """
    with parties(tmp_path, "bank", "shop") as (bank, shop):
        bring(bank, bank.invite("shop"), authority=shop.identity.ca, address=trap.address)
        peer = bank.identity.peers["shop"]
        assert (peer.address, peer.offered) == (None, trap.address)
        with refused("ATL-NET-042"):
            bank.parties.ping("shop")
        assert bank.parties.rotate(ADMIN)["waiting"] == ["shop"]
        assert trap.dialled == 0
        # The same address, once people have stated it: the trap would have noticed.
        bank.parties.confirm("shop", trap.address, ADMIN)
        with refused("ATL-NET-010", "ATL-NET-015"):
            bank.parties.ping("shop")
        until(lambda: trap.dialled)


def test_a_partner_moves_to_an_address_of_its_choice(tmp_path: Path, trap: Trap) -> None:
    """Lie: a partner at a confirmed address enrols again, with another address.

    Rule: as for the first: the confirmed one is dialled, the other waits for a person's word.
    """
    with parties(tmp_path, "bank", "shop") as (bank, shop):
        bring(bank, bank.invite("shop"), authority=shop.identity.ca, address=shop.address)
        bank.parties.confirm("shop", shop.address, ADMIN)
        bring(bank, bank.invite("shop"), authority=shop.identity.ca, address=trap.address)
        peer = bank.identity.peers["shop"]
        assert (peer.address, peer.offered) == (shop.address, trap.address)
        with suppress(AtollError):
            bank.parties.ping("shop")
        assert trap.dialled == 0


def test_a_code_leads_the_invited_into_its_own_network(tmp_path: Path, trap: Trap) -> None:
    """Lie: a code that names an address inside the network of whoever accepts it.

    Rule: the address of a code is dialled only if a person states it with the code (ATL-NOD-033).
    """
    with parties(tmp_path, "bank", "shop") as (bank, shop):
        true = bank.invite("shop")
        lie = Invitation(true.id, "bank", "shop", trap.address, true.authority, true.secret).code()
        for stated in (None, bank.address):
            with refused("ATL-NOD-033"):
                shop.parties.accept(lie, stated, ADMIN)
        assert trap.dialled == 0
        for nonsense in ("127.0.0.1", "http://127.0.0.1:80/", "127.0.0.1:99999"):
            code = Invitation(true.id, "bank", "shop", nonsense, true.authority, true.secret)
            with refused("ATL-PTY-014"):
                shop.parties.accept(code.code(), nonsense, ADMIN)
        shop.parties.accept(true.code(), true.address, ADMIN)
        assert shop.identity.peers["bank"].address == bank.address


def test_a_rotation_reaches_the_partners_and_is_kept(tmp_path: Path) -> None:
    """Lie: the shop's old key, stolen; then also at a bank that was restarted in between.

    Rule: a rotation calls every partner at once, and each keeps the newest key in its files.
    """
    with parties(tmp_path, "bank", "shop") as (bank, shop):
        stolen = shop.identity
        bring(bank, bank.invite("shop"), authority=shop.identity.ca, address="")
        shop.parties.add("bank", bank.identity.ca.decode(), bank.address, ADMIN)
        shop.parties.ping("bank")
        thief = Gateway(stolen, tmp_path / "t.sock")
        thief.set_peer("bank", bank.identity.ca, bank.address)
        assert bytes(thief.call("bank", "ping", b"", LONG))
        made = shop.parties.rotate(ADMIN)
        assert (made["notified"], made["waiting"]) == (["bank"], [])
        with refused("ATL-NET-016", "ATL-NET-046"):
            thief.call("bank", "ping", b"", LONG)
        with refused("ATL-NET-016"):
            thief.call("bank", "ping", b"", LONG)
        until(lambda: load_party(bank.folder).peers["shop"].newest is not None)
        kept = load_party(bank.folder)
        with refused("ATL-PTY-015"):
            kept.public_key("shop", stolen.certificate)
        kept.public_key("shop", shop.identity.certificate)
        thief.close()


def test_a_node_signs_for_itself_with_a_key_rotated_away(tmp_path: Path) -> None:
    """Lie: a thief of the shop's former key brings the shop a document signed by the shop itself.

    Rule: a party's own keys end with its rotation, too (ATL-PTY-015); not with a renewal.
    """
    init_party(tmp_path, "shop")
    stolen = load_party(tmp_path)
    assert stolen.public_key("shop", stolen.certificate)
    rotated = renew(tmp_path)
    with refused("ATL-PTY-015"):
        rotated.public_key("shop", stolen.certificate)
    with refused("ATL-PTY-015"):
        rotated.public_key("shop", stolen.certificate, kept=True)
    renewed = renew(tmp_path, rotate=False)
    assert renewed.public_key("shop", rotated.certificate)


def test_a_rotated_key_comes_back_through_two_authorities(tmp_path: Path) -> None:
    """Lie: a key that the shop rotated away, after its authority was replaced and put back.

    Rule: what is known of a party's keys is kept by authority, for the last few of them.
    """
    folder = tmp_path / "bank"
    init_party(folder, "bank")
    first, second = tmp_path / "first", tmp_path / "second"
    stolen = init_party(first, "shop")
    shop, other = renew(first), init_party(second, "shop")
    trust(folder, "shop", shop.ca)
    for identity in (stolen, shop, renew(first)):
        note_newest(folder, "shop", Newest.of(read_chain(identity.certificate)[0]))
    for number in range(3):
        trust(folder, "shop", other.ca, replace=True)
        if number == 1:
            distrust(folder, "shop")
        trust(folder, "shop", shop.ca, replace=True)
        if number == 2:
            distrust(folder, "shop")
            trust(folder, "shop", other.ca)
            distrust(folder, "shop")
            trust(folder, "shop", shop.ca)
        with refused("ATL-PTY-015"):
            load_party(folder).public_key("shop", stolen.certificate)
    for number in range(12):
        made = init_party(tmp_path / str(number), "shop")
        trust(folder, "shop", made.ca, replace=True)
    assert len((folder / "peers" / "shop.json.former").read_bytes()) < 32 << 10


def test_a_stolen_token_survives_the_password(tmp_path: Path) -> None:
    """Lie: whoever stole a token, or a session, goes on after its owner changed the password.

    Rule: all tokens and other sessions end with it, but tokens kept by name (ATL-ACC-002).
    """
    wall = Wall()
    with open_database(tmp_path) as database:
        access = open_access(database, wall)
        admin = boss(access)
        person(access, admin, "eve", ["modeller"])
        stolen = access.login("eve", PASSWORD, browser=True).token
        mine = access.authenticate(access.login("eve", PASSWORD).token)
        secrets = {
            name: access.create_token(mine, name, {"job.read"}, days=9)[0]
            for name in ("nightly", "laptop")
        }
        with refused("ATL-ACC-016"):
            access.change_password(mine, PASSWORD, "another horse battery", keep=["nightli"])
        assert access.authenticate(secrets["laptop"]).user == "eve"
        access.change_password(mine, PASSWORD, "another horse battery", keep=["nightly"])
        for token, browser in ((stolen, True), (secrets["laptop"], False)):
            with refused("ATL-ACC-002"):
                access.authenticate(token, browser=browser)
        assert access.authenticate(secrets["nightly"]).user == "eve"
        assert access.current(mine) is not None
        lines = access.audit.page().rows
        line = [one for one in lines if (one["action"], one["actor"]) == ("user.password", "eve")][
            -1
        ]
        (kept,) = [one.id for one in access.tokens(mine) if one.name == "nightly"]
        # The session of her first login, the stolen one, and the laptop's token.
        assert (line["detail"]["ended"], line["detail"]["kept"]) == (3, [kept])
        access.reset_password(admin, "eve", "a third horse battery")
        with refused("ATL-ACC-002"):
            access.authenticate(secrets["nightly"])


def test_a_thief_names_its_token_like_the_one_that_stays(tmp_path: Path) -> None:
    """Lie: whoever stole a session makes a token of the name that is kept, or revokes it first.

    Rule: a user has one token of a name (ATL-ACC-017), and an id says which one is meant.
    """
    with open_database(tmp_path) as database:
        access = open_access(database, Wall())
        admin = boss(access)
        person(access, admin, "eve", ["modeller"])
        stolen = access.authenticate(access.login("eve", PASSWORD).token)
        mine = access.authenticate(access.login("eve", PASSWORD).token)
        nightly, shown = access.create_token(mine, "nightly", {"job.read"}, days=9)
        with refused("ATL-ACC-017"):
            access.create_token(stolen, "nightly", {"job.read"}, days=9)
        # A name like an id makes both count for nothing, and ends nothing.
        named, _ = access.create_token(stolen, shown.id, {"job.read"}, days=9)
        with refused("ATL-ACC-016"):
            access.change_password(mine, PASSWORD, "another horse battery", keep=[shown.id])
        access.change_password(mine, PASSWORD, "another horse battery", keep=["nightly"])
        assert access.authenticate(nightly).user == "eve"
        with refused("ATL-ACC-002"):
            access.authenticate(named)
        # Under the name of a token that was revoked the thief's stays: the id does not match it.
        stolen = access.authenticate(access.login("eve", "another horse battery").token)
        access.revoke_token(stolen, shown.id)
        access.create_token(stolen, "nightly", {"job.read"}, days=9)
        with refused("ATL-ACC-016"):
            access.change_password(mine, "another horse battery", PASSWORD, keep=[shown.id])


def test_sessions_are_opened_and_ended_without_end(desk: Desk) -> None:
    """Lie: the asking party opens sessions and ends them, each a row and a line at the host.

    Rule: so many in 24 hours (ATL-AGR-011); whoever is refused leaves no row.
    """
    desk.grant()
    agreement = desk.run(standing())
    most = 3
    book = desk.small(most)
    for number in range(1, most + 1):
        book.close_session(agreement, book.open_session(agreement, number), (), ())
    before = len(desk.lines("session")), len(book._rows.open_sessions())
    for _ in range(5):
        with refused("ATL-AGR-011"):
            book.open_session(agreement)
    assert (len(desk.lines("session")), len(book._rows.open_sessions())) == before
    desk.wall.now += 86401.0
    assert book.open_session(agreement) > most


def test_a_session_takes_the_last_number(desk: Desk) -> None:
    """Lie: a partner asks for the highest session number that there is, so that none is left.

    Rule: a number is at most 2^20 ahead of the last one here (ATL-AGR-007).
    """
    desk.grant()
    agreement = desk.run(standing())
    assert desk.book.get(agreement).party == GUEST
    for least in ((1 << 31) - 1, (1 << 20) + 2):
        with refused("ATL-AGR-007"):
            desk.book.open_session(agreement, least)
    assert desk.book.open_session(agreement) == FIRST_SESSION
