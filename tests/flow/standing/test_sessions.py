"""Sessions over a book and seats of the test: how many there are, and what is kept of whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from atoll.core.errors import AtollError
from atoll.flow.node.standing import sessions as module
from atoll.flow.node.standing.inviting import OPEN, SessionMessage
from atoll.flow.node.standing.sessions import Sessions, SessionSettings
from atoll.jobs.errors import NotFoundError

PLAN = "0" * 64


class Kept:
    """A book in which every agreement is that of ``bank``, but for those that it does not know."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def live(self, agreement: str) -> Any:
        if agreement.startswith("unknown"):
            raise NotFoundError("ATL-AGR-001", "none")
        plan = SimpleNamespace(digest=lambda: PLAN, parties_of=lambda step: {"bank", "shop"})
        return SimpleNamespace(id=agreement, party="bank", plan=plan, step="score")

    def check_open(self, agreement: str, least: int = 1000) -> None:
        pass

    def open_session(self, agreement: str, least: int = 1000) -> int:
        self.opened.append(agreement)
        return least

    def close_session(self, *sent: Any) -> None:
        pass

    def spend(self, agreement: str, session: int, units: int, contents: Any) -> None:
        pass


class Places:
    """Seats whose making takes until ``go``."""

    def __init__(self) -> None:
        self.making, self.go = threading.Event(), threading.Event()
        self.sent: list[str] = []

    def make(self, agreement: Any, number: int) -> Any:
        self.making.set()
        assert self.go.wait(10)
        worker = SimpleNamespace(cancel=lambda: None)
        return SimpleNamespace(worker=worker, send=self.send)

    def send(self, do: str, **fields: Any) -> bool:
        self.sent.append(do)
        return True

    def current(self, agreement: Any, seat: Any) -> bool:
        return True

    def begin(self, seat: Any, on_event: Any) -> None:
        pass


class Here:
    def __init__(self, party: str) -> None:
        self.book, self.places, self.time = Kept(), Places(), 0.0
        gateway: Any = SimpleNamespace(party=party, call=self.call)
        settings = SessionSettings(call_seconds=0.1, drain_seconds=0.0, most=1)
        self.sessions = Sessions(
            self.book, cast(Any, self.places), gateway, settings, now=lambda: self.time
        )

    def call(self, peer: str, kind: str, body: bytes, seconds: float) -> bytes:
        """Answer as a partner that agrees after five seconds."""
        self.time += 5.0
        return body

    def called(self, agreement: str) -> bytes:
        body = SessionMessage(OPEN, agreement, 1000, PLAN).encode()
        return self.sessions.answer_call(cast(Any, SimpleNamespace(body=body, party="bank")))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    monkeypatch.setattr(module, "_ROOM_SECONDS", 0.05)
    yield from opened("shop")


@pytest.fixture
def guest() -> Iterator[Here]:
    yield from opened("bank")


def opened(party: str) -> Iterator[Here]:
    made = Here(party)
    yield made
    made.places.go.set()
    made.sessions.close()


def test_sessions_that_are_opened_at_the_same_time_take_no_more_workers(host: Here) -> None:
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(host.called, "one")
        assert host.places.making.wait(10)
        with pytest.raises(AtollError, match="ATL-WRK-002"):
            host.called("two")
        # And who finds no room leaves no number behind.
        assert host.book.opened == ["one"]
        host.places.go.set()
        first.result(10)
    assert set(host.sessions._all) == {("one", 1000)}


def test_nothing_is_kept_of_agreements_that_there_are_not(host: Here) -> None:
    for number in range(20):
        with pytest.raises(AtollError, match="ATL-AGR-001"):
            host.sessions.ask(f"unknown{number}", {"ids": ["a"]}, 1.0)
    assert not host.sessions._opening


def test_what_nobody_waits_for_when_the_session_is_there_is_not_handed_in(guest: Here) -> None:
    guest.places.go.set()
    with pytest.raises(AtollError, match="ATL-AGR-009"):
        guest.sessions.ask("one", {"ids": ["a"]}, 2.0)
    assert set(guest.sessions._all) == {("one", 1000)}
    assert "request" not in guest.places.sent
