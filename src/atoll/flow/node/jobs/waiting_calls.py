"""Calls of partners that wait for an answer: a line for each partner, served in turns."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from atoll.channel.grpc.gateway import Call

# As many as the gateway lets a partner have: it counts none whose caller has given up.
CALLS = 64
BYTES = 64 << 20


@dataclass
class _Line:
    calls: deque[Call] = field(default_factory=deque)
    size: int = 0
    answering: int = 0


class WaitingCalls:
    """At most ``CALLS`` of each partner, ``BYTES`` together. Any thread.

    Strangers, who want to become partners, have one line together. ``at_once`` of one partner are
    answered at once: the threads that answer must be more.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._changed = threading.Condition()
        self._lines: dict[str, _Line] = {}
        self._closed = False

    def put(self, call: Call) -> bool:
        """Let a call wait; False if its partner's line is full."""
        with self._changed:
            line = self._lines.setdefault(call.party, _Line())
            size = len(call.body)
            if len(line.calls) >= CALLS or line.size + size > BYTES:
                return False
            line.calls.append(call)
            line.size += size
            self._changed.notify()
            return True

    def take(self) -> Call | None:
        """Wait for the next call, of the partner that was served longest ago; None once closed.

        ``done`` must follow.
        """
        with self._changed:
            while True:
                if self._closed:
                    return None
                party = next((p for p, line in self._lines.items() if self._ready(line)), None)
                if party is not None:
                    return self._taken(party)
                self._changed.wait()

    def _taken(self, party: str) -> Call:
        line = self._lines.pop(party)
        # The last in turn from now on.
        self._lines[party] = line
        call = line.calls.popleft()
        line.size -= len(call.body)
        line.answering += 1
        return call

    def done(self, call: Call) -> None:
        """Note that a call was answered."""
        with self._changed:
            line = self._lines[call.party]
            line.answering -= 1
            if not line.answering and not line.calls:
                del self._lines[call.party]
            self._changed.notify()

    def close(self) -> None:
        """Let no one wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _ready(self, line: _Line) -> bool:
        return bool(line.calls) and line.answering < self._at_once
