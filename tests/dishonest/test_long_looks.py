"""Partners whose calls look at large tables, and others that only want an answer."""

from __future__ import annotations

import queue
import threading
from typing import Any, cast

from atoll.channel.grpc.gateway import Call
from atoll.flow.node.jobs.syncing import Syncing

SECONDS = 60.0


class Gate:
    """A gateway without a network: calls to be taken, and what was answered, by number."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Call] = queue.Queue()
        self.answered: queue.Queue[int] = queue.Queue()

    def next_call(self, seconds: float) -> Call | None:
        try:
            return self.calls.get(timeout=seconds)
        except queue.Empty:
            return None

    def answer(self, call: Call, body: bytes) -> None:
        self.answered.put(call.number)


class Tables:
    """Looks that go on until ``over``."""

    def __init__(self) -> None:
        self.looked_at: queue.Queue[str] = queue.Queue()
        self.over = threading.Event()

    def look(self, call: Call) -> bytes:
        self.looked_at.put(call.party)
        self.over.wait(SECONDS)
        return b""


def test_looks_hold_up_no_other_call() -> None:
    """Two partners' four calls kept all four threads that answer: no ping of a third came through.

    Rule: looks wait for looks alone, one of a partner at once.
    """
    gate, tables = Gate(), Tables()
    answers = {"declare": tables.look, "ping": lambda call: b""}
    syncing = Syncing(
        cast(Any, gate),
        cast(Any, None),
        lambda: cast(Any, Partnerless()),
        answers,
        call_seconds=SECONDS,
        sync_seconds=SECONDS,
    )
    syncing.start()
    try:
        for number in range(8):
            gate.calls.put(Call(number, "liar" if number % 2 else "other", "declare", b""))
        assert {tables.looked_at.get(timeout=SECONDS) for _ in range(2)} == {"liar", "other"}
        # The liars' own pings come through, too.
        for number, party in ((8, "honest"), (9, "liar")):
            gate.calls.put(Call(number, party, "ping", b""))
            assert gate.answered.get(timeout=SECONDS) == number
        # Nor are two partners in the way of a third one's look.
        gate.calls.put(Call(10, "honest", "declare", b""))
        assert tables.looked_at.get(timeout=SECONDS) == "honest"
        tables.over.set()
        assert {gate.answered.get(timeout=SECONDS) for _ in range(9)} == {*range(8), 10}
    finally:
        tables.over.set()
        syncing.close()


class Partnerless:
    """An identity without partners."""

    peers: dict[str, Any] = {}
