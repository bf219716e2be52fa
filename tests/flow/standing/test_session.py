"""A session at the asking node: what waits is bounded, also where nobody waits for it any more."""

from __future__ import annotations

from typing import Any, cast

import pytest

from atoll.core.errors import AtollError
from atoll.flow.node.standing.session import Session


class SessionMessage:
    """A seat that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Any]] = []

    def send(self, do: str, **fields: Any) -> bool:
        self.lines.append((do, fields.get("id")))
        return True


def test_requests_that_nobody_waits_for_count_until_the_worker_has_dropped_them() -> None:
    seat = SessionMessage()
    session = Session(cast(Any, None), 1000, cast(Any, seat), lambda: 0.0)
    asked = session.ask({"ids": ["a"]}, 10)
    assert asked is not None
    number, entry = asked
    session.forget(number)
    session.forget(7)
    assert seat.lines == [("request", number), ("forget", number)]
    assert session.waiting == (1, 10)
    error = {"kind": "CancelledError", "code": "ATL-JOB-001", "message": "nobody waits"}
    session.answered({"id": number, "error": error})
    assert session.waiting == (0, 0)
    with pytest.raises(AtollError, match="ATL-JOB-001"):
        entry.answer.result(0.0)


def test_a_session_is_idle_though_its_worker_never_answers_what_was_given_up() -> None:
    seat = SessionMessage()
    session = Session(cast(Any, None), 1000, cast(Any, seat), lambda: 0.0)
    asked = session.ask({"ids": ["a"]}, 10)
    assert asked is not None
    assert not session.close(1.0)
    session.forget(asked[0])
    assert session.close(1.0)
    assert seat.lines[-1] == ("close", None)
