"""Lies about sessions of a standing agreement: their places, numbers, tables and failures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from atoll.channel.grpc.failures import CallRefusedError
from atoll.core.errors import AtollError, NetworkError
from atoll.flow.node.standing import notices
from atoll.flow.node.standing import sessions as module
from atoll.flow.node.standing.inviting import ENDED, KIND, OPEN, Inviting, SessionMessage
from atoll.flow.node.standing.session import Session
from atoll.flow.node.standing.sessions import Sessions, SessionSettings
from atoll.flow.work.task_events import TaskEvent
from atoll.jobs.errors import DeniedError
from tests.e2e.nodes import table
from tests.flow.standing.site import BANK, SHOP, Site, site

PLAN = "0" * 64
PLACES = 2


class Book:
    """Agreements ``<party>.<name>`` of three parties; it keeps which numbers are open."""

    def __init__(self) -> None:
        self.last = 999
        self.open: set[int] = set()

    def live(self, agreement: str) -> Any:
        parties = {"bank", "rival", SHOP}
        plan = SimpleNamespace(digest=lambda: PLAN, parties_of=lambda step: parties)
        party = agreement.partition(".")[0]
        return SimpleNamespace(id=agreement, party=party, plan=plan, step="score")

    def check_open(self, agreement: str, least: int = 1000) -> None:
        if agreement.endswith("revoked"):
            raise DeniedError("ATL-POL-001", "the grant that it ran under is gone")

    def open_session(self, agreement: str, least: int = 1000) -> int:
        self.last = max(self.last + 1, least)
        self.open.add(self.last)
        return self.last

    def close_session(self, agreement: str, session: int, *sent: Any) -> None:
        self.open.discard(session)


class Seats:
    """Seats whose workers end as soon as they are to."""

    def __init__(self) -> None:
        self.events: dict[str, Any] = {}

    def make(self, agreement: Any, number: int) -> Any:
        key = f"{agreement.id}/{number}"
        error = {"kind": "UserError", "code": "ATL-JOB-001", "message": "it was cancelled"}
        ended = TaskEvent("failed", agreement.id, "score", number, {"error": error})
        worker = SimpleNamespace(cancel=lambda: self.events[key](ended))
        return SimpleNamespace(worker=worker, key=key, send=lambda do, **fields: True)

    def current(self, agreement: Any, seat: Any) -> bool:
        return True

    def begin(self, seat: Any, on_event: Any) -> None:
        self.events[seat.key] = on_event

    def free(self, seat: Any) -> None:
        pass


class Shop:
    """The sessions of an honest host that has two places for them; ``time`` stands still."""

    def __init__(self) -> None:
        self.time = 100.0
        gateway: Any = SimpleNamespace(party=SHOP, call=lambda *sent: b"")
        settings = SessionSettings(drain_seconds=0.0, most=PLACES)
        self.sessions = Sessions(
            cast(Any, Book()), cast(Any, Seats()), gateway, settings, now=lambda: self.time
        )

    def open(self, agreement: str, number: int) -> None:
        body = SessionMessage(OPEN, agreement, number, PLAN).encode()
        party = agreement.partition(".")[0]
        self.sessions.answer_call(cast(Any, SimpleNamespace(body=body, party=party)))

    def held(self) -> list[str]:
        return sorted(name for name, _ in self.sessions._all)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(module, "_ROOM_SECONDS", 0.05)
    made = Shop()
    yield made
    made.sessions.close()


def test_a_partner_that_opens_all_places_gives_one_up_to_another(shop: Shop) -> None:
    """Lie: bare calls open both places, under one agreement or two; no row is asked for. Gain
    before: nobody else was served. Rule: the partner with most places gives up its oldest.
    """
    shop.open("bank.one", 1000)
    shop.open("bank.one", 1001)
    shop.open("rival.one", 1002)
    assert shop.held() == ["bank.one", "rival.one"]
    # And what it opens again takes a place of its own, once that is not in use.
    with pytest.raises(AtollError, match="ATL-WRK-002"):
        shop.open("bank.two", 1003)
    shop.time += module._IN_USE_SECONDS + 1.0
    shop.open("bank.two", 1004)
    assert shop.held() == ["bank.two", "rival.one"]


def test_what_was_used_a_moment_ago_stays_and_what_is_idle_gives_way(shop: Shop) -> None:
    """A partner that uses its one place keeps it; an idle one gives way, the oldest first."""
    shop.open("bank.one", 1000)
    shop.open("rival.one", 1001)
    with pytest.raises(AtollError, match="ATL-WRK-002"):
        shop.open("third.one", 1002)
    # Nothing gives way to what is refused.
    shop.time += module._IN_USE_SECONDS + 1.0
    shop.sessions._all["bank.one", 1000].touch()
    with pytest.raises(AtollError, match="ATL-POL-001"):
        shop.open("third.revoked", 1002)
    assert shop.held() == ["bank.one", "rival.one"]
    shop.open("third.one", 1003)
    assert shop.held() == ["bank.one", "third.one"]


def test_a_host_that_raises_each_number_costs_others_two_for_a_request() -> None:
    """Lie: a host answers each call with the next number. Gain before: four numbers a request of
    guest and honest host, and four seats there. Rule: one raise for an opening (ATL-AGR-007), and
    the honest host is notified of each number that is given up.
    """
    book, sent = Book(), []

    def call(peer: str, kind: str, body: bytes, seconds: float) -> bytes:
        message = SessionMessage.decode(body)
        if peer == SHOP:
            sent.append((message.do, message.session))
        raised = message.session + (peer == "rival" and message.do == OPEN)
        return SessionMessage(message.do, message.agreement, raised, PLAN).encode()

    gateway: Any = SimpleNamespace(party="bank", call=call)
    inviting = Inviting(cast(Any, book), gateway, 1.0)
    with pytest.raises(AtollError) as caught:
        inviting.invite(book.live("bank.one"))
    inviting.close()
    assert (caught.value.code, caught.value.party) == ("ATL-AGR-007", "rival")
    assert sorted(sent) == [(ENDED, 1000), (ENDED, 1001), (OPEN, 1000), (OPEN, 1001)]
    assert not book.open


def test_a_partner_that_answers_no_notice_holds_up_nobody_else() -> None:
    """Lie: a guest ends its sessions and answers no call about it. Gain before: each held one of
    the eight threads for 20 s on which rows of all agreements are counted (66 s: five of nine
    requests of another failed). Rule: notices have threads of their own, one call at a time to a
    partner, and a bounded line.
    """
    seen: list[tuple[str, float]] = []
    silent, begun, refused = threading.Event(), threading.Event(), threading.Event()

    def call(peer: str, kind: str, body: bytes, seconds: float) -> bytes:
        seen.append((peer, seconds))
        if peer == "rival":
            begun.set()
            assert silent.wait(60.0)
        return b""

    book, seats = Book(), Seats()
    gateway: Any = SimpleNamespace(party=SHOP, call=call)
    settings = SessionSettings(drain_seconds=0.0, most=PLACES)
    sessions = Sessions(cast(Any, book), cast(Any, seats), gateway, settings)
    try:
        for number in range(1000, 1000 + 2 * module._THREADS):
            body = SessionMessage(OPEN, "rival.one", number, PLAN).encode()
            sessions.answer_call(cast(Any, SimpleNamespace(body=body, party="rival")))
            ended = SessionMessage(ENDED, "rival.one", number, PLAN).encode()
            sessions.answer_call(cast(Any, SimpleNamespace(body=ended, party="rival")))
        body = SessionMessage(OPEN, "bank.one", 2000, PLAN).encode()
        sessions.answer_call(cast(Any, SimpleNamespace(body=body, party="bank")))
        seat = sessions._all["bank.one", 2000].seat
        cast(Any, seat).send = lambda do, **fields: refused.set()
        # This book counts nothing, so the answer is a refusal: it comes by the same thread.
        seats.events[cast(Any, seat).key](TaskEvent("spend", "bank.one", "score", 2000, {"id": 1}))
        assert begun.wait(20.0)
        assert refused.wait(20.0)
        assert [peer for peer, _ in seen].count("rival") == 1
        assert all(seconds < settings.call_seconds / 2 for _, seconds in seen)
    finally:
        silent.set()
        sessions.close()


def test_notices_that_do_not_fit_are_dropped() -> None:
    """One call at a time to a partner; the line behind it is bounded, and ends with the node."""
    silent, begun, sent = threading.Event(), threading.Event(), []

    def call(peer: str, kind: str, body: bytes, seconds: float) -> bytes:
        sent.append(body)
        begun.set()
        assert silent.wait(60.0)
        raise NetworkError("ATL-NET-001", "no answer")

    made = notices.Notices(cast(Any, SimpleNamespace(call=call)), KIND, 20.0)
    made.send("rival", b"first")
    assert begun.wait(20.0)
    for at in range(2 * notices._WAITING):
        made.send("rival", b"%d" % at)
    assert len(made._lines["rival"]) == notices._WAITING
    made.close(0.0)
    assert not made._lines["rival"]
    made.send("rival", b"last")
    silent.set()
    made.close(20.0)
    assert sent == [b"first", b"last"]
    assert not made._lines


# -- beside a whole honest node -----------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("sessions")) as made:
        yield made


def put(two: Site, name: str, data: bytes, **more: Any) -> Any:
    """Upload a table of the honest host, in place of one of that name."""
    file = two.folder / f"{name}.csv"
    file.write_bytes(data)
    return two.clients[SHOP].data.upload(name, file, **{"id": "id", "label": None, **more})


def agreed(two: Site, name: str, **more: Any) -> str:
    """Return an agreement on a table of its own, after a first request."""
    put(two, name, table(1, 30, 4, label=False, first=10))
    terms: dict[str, Any] = {"columns": ["*"], "roles": ["host"], "components": ["scoring"]}
    two.clients[SHOP].data.grant(name, partners=[BANK], automatic=True, **terms)
    id = two.agree(name, tables={BANK: "fresh", SHOP: name}, **more)
    two.ask(id, ["u00020"])
    return id


def test_a_guest_learns_no_code_of_what_the_host_failed_at(
    two: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A liar reads what its worker receives. Gain before: ATL-TAB-002, a column is gone; now
    ATL-WRK-014, whatever it was.
    """
    id, received = agreed(two, "lacking"), []
    ended = Session.ended

    def keeps(self: Session, event: TaskEvent) -> None:
        if self.seat.spec.party == BANK:
            received.append(str((event.data.get("error") or {}).get("message")))
        ended(self, event)

    put(two, "lacking", b"id,other\n" + b"".join(b"u%05d,1\n" % at for at in range(30)))
    two.idle(id)
    monkeypatch.setattr(Session, "ended", keeps)
    # Its node does not hear that the other side has ended.
    monkeypatch.setattr(two.nodes[BANK].sessions, "_ended_there", lambda *sent: None)
    with pytest.raises(AtollError):
        two.ask(id, ["u00020"])
    assert any("ATL-WRK-014" in line for line in received), received
    assert not any("ATL-TAB" in line or "ATL-MOD" in line for line in received)


def test_a_session_makes_no_feature_of_what_was_registered_as_id_or_label(two: Site) -> None:
    """A table is registered anew with a label. Before, sessions had it as a feature. Rule: that of
    jobs, ATL-DAT-105.
    """
    id = agreed(two, "turned")
    lines = table(1, 30, 4, label=False, first=10).decode().splitlines()
    new = [f"{lines[0]},paid", *(f"{line},{at % 2}" for at, line in enumerate(lines[1:]))]
    put(two, "turned", "\n".join(new).encode(), label="paid")
    two.idle(id)
    with pytest.raises(AtollError, match="ATL-DAT-105"):
        two.ask(id, ["u00020"])
    assert two.used(SHOP, id) == 1


def test_rows_of_a_replaced_table_are_charged_to_what_it_holds_now(two: Site) -> None:
    """Before, they went to the content that was signed, and a cap of the same rows under another
    name did not count them.
    """
    id = agreed(two, "moving")
    now = put(two, "moving", table(1, 25, 4, label=False, first=10))
    two.idle(id)
    two.ask(id, ["u00020", "u00021"])
    spent = [line for line in two.ledger(SHOP) if line["kind"] == "spend"]
    lines = [line for line in spent if line["table"] == "moving"]
    assert [line["counts"]["rows"] for line in lines] == [1, 2]
    rows = two.nodes[SHOP].data.contents("moving")[now.digest]
    assert lines[0]["digest"] != lines[1]["digest"] == rows != now.digest
    ledger = two.nodes[SHOP].policies.ledger
    copied = two.nodes[SHOP].database.write(
        lambda c: ledger.accounts(c).used("copy", now.digest, BANK)
    )
    assert copied.rows == 2


def opening(two: Site, id: str, number: int) -> str:
    """Send the bare call that opens a session; return the code of its refusal."""
    body = SessionMessage(OPEN, id, number, two.nodes[BANK].book.get(id).plan.digest()).encode()
    with pytest.raises(CallRefusedError) as caught:
        two.nodes[BANK].gateway.call(SHOP, KIND, body, 10.0)
    return caught.value.peer_code


def test_no_session_opens_where_no_row_could_be_spent(two: Site) -> None:
    """Lie: bare calls under an agreement that is used up, or whose grant was revoked. Gain before:
    a place and a line of the ledger each. Rule: the codes of the bound and of the grant.
    """
    day = agreed(two, "day", per_day=1, most=9)
    whole = agreed(two, "whole", per_day=9, most=1)
    gone = agreed(two, "gone")
    for grant in two.clients[SHOP].data.grants("gone").items:
        two.clients[SHOP].data.revoke(grant.id)
    two.end_all()
    codes = {id: opening(two, id, 1500) for id in (day, whole, gone)}
    assert codes == {day: "ATL-AGR-004", whole: "ATL-AGR-005", gone: "ATL-POL-001"}
    assert not two.nodes[SHOP].sessions._all
    # An honest guest is sent the same code.
    with pytest.raises(AtollError, match="ATL-POL-001"):
        two.ask(gone, ["u00020"])
