"""A session in a real worker: requests and counts travel as lines, and nobody waits for ever."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from atoll.core.errors import CancelledError, UserError
from atoll.flow.work.handle import Worker
from atoll.flow.work.pool import Pool
from atoll.flow.work.requests import Inbox, NoRequests
from atoll.flow.work.specification import TaskSpec
from atoll.flow.work.task_events import TaskEvent, error_of
from atoll.jobs.errors import DeniedError
from tests.flow.work import little
from tests.flow.work.test_pool import Ear, settings, spec, until


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with Pool(settings(tmp_path_factory.mktemp("sessions"))) as made:
        yield made


class Clerk(Ear):
    """Grants what a session wants to spend, up to a bound."""

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.left = bound
        self.reply: Any = None

    def __call__(self, event: TaskEvent) -> None:
        if event.kind == "spend":
            number, units = event.data["id"], event.data["units"]
            if units > self.left:
                error = DeniedError("ATL-AGR-004", "the day's bound is used up", hint="tomorrow")
                self.reply("refused", id=number, error=error.to_dict())
                return
            self.left -= units
            self.reply("granted", id=number)
            return
        super().__call__(event)

    def answers(self) -> dict[int, dict[str, Any]]:
        return {e.data["id"]: dict(e.data) for e in self.all if e.kind == "answer"}


def session(
    pool: Pool, folder: Path, bound: int = 0, act: str = "serve"
) -> tuple[Worker, TaskSpec, Clerk]:
    worker, clerk = pool.lease(little.JOB_ID), Clerk(bound)
    made = spec(folder, act, attempt=1000, standing=True)
    clerk.reply = lambda do, **fields: worker.send(made, do, **fields)
    worker.submit(made, clerk)
    return worker, made, clerk


def test_requests_are_answered_and_the_session_closes_in_order(pool: Pool, tmp_path: Path) -> None:
    worker, made, clerk = session(pool, tmp_path, bound=5)
    # What is said before the worker is there waits for it.
    for number in range(3):
        assert worker.send(made, "request", id=number, body={"text": f"é{number}", "units": 1})
    assert worker.send(made, "close")
    assert clerk.end().kind == "done"
    reported = {number: answer["body"] for number, answer in clerk.answers().items()}
    assert reported == {number: {"echo": f"é{number}"} for number in range(3)}
    assert clerk.left == 2
    assert not worker.send(made, "request", id=9, body={"text": "late"})
    # The next session does not get a worker that whoever held this one is about to release.
    assert pool.lease(little.JOB_ID) is not worker


def test_a_refused_count_fails_the_request_and_not_the_session(pool: Pool, tmp_path: Path) -> None:
    worker, made, clerk = session(pool, tmp_path, bound=2)
    worker.send(made, "request", id=1, body={"text": "much", "units": 3})
    worker.send(made, "request", id=2, body={"text": "bad", "units": 1, "bad": True})
    worker.send(made, "request", id=3, body={"text": "little", "units": 1})
    worker.send(made, "close")
    assert clerk.end().kind == "done"
    found = clerk.answers()
    error = error_of(found[1]["error"])
    assert isinstance(error, DeniedError)
    assert (error.code, error.hint) == ("ATL-AGR-004", "tomorrow")
    assert found[2]["error"]["place"] == "columns.x"
    assert found[3]["body"] == {"echo": "little"}


def test_a_large_request_passes_through_a_full_pipe(pool: Pool, tmp_path: Path) -> None:
    worker, made, clerk = session(pool, tmp_path)
    text = "a" * (3 << 20)
    worker.send(made, "request", id=1, body={"text": text})
    worker.send(made, "close")
    assert clerk.end().kind == "done"
    assert clerk.answers()[1]["body"]["echo"] == text


def test_a_session_that_waits_is_cancelled(pool: Pool, tmp_path: Path) -> None:
    worker, _, clerk = session(pool, tmp_path)
    clerk.wait("phase")
    worker.cancel()
    assert clerk.end().state == "cancelled"


def test_a_session_whose_worker_dies_is_lost(pool: Pool, tmp_path: Path) -> None:
    worker, made, clerk = session(pool, tmp_path)
    worker.send(made, "request", id=1, body={"die": True})
    assert clerk.end().kind == "lost"
    assert not worker.send(made, "close")


def test_a_deaf_session_is_killed(pool: Pool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "path")
    worker, _, clerk = session(pool, tmp_path, act="hang")
    clerk.wait("phase")
    worker.kill()
    assert clerk.end().kind == "lost"
    until(lambda: worker.state == "gone")


def test_many_threads_ask_one_session(pool: Pool, tmp_path: Path) -> None:
    worker, made, clerk = session(pool, tmp_path, bound=1000)
    with ThreadPoolExecutor(8) as threads:
        sent = threads.map(
            lambda n: worker.send(made, "request", id=n, body={"text": n, "units": 1}), range(200)
        )
        assert all(sent)
    worker.send(made, "close")
    assert clerk.end().kind == "done"
    assert {n: a["body"]["echo"] for n, a in clerk.answers().items()} == {n: n for n in range(200)}
    assert clerk.left == 800


def test_a_job_spends_nothing() -> None:
    with pytest.raises(UserError, match="ATL-WRK-003"):
        NoRequests().spend(1)


def test_malformed_lines_change_nothing() -> None:
    inbox = Inbox(lambda event, fields: None)
    inbox.take("request", {"id": "1", "body": {}})
    inbox.take("request", {"id": 1, "body": []})
    inbox.take("granted", {"id": 7})
    assert inbox.next(0.0) is None
    assert not inbox.closing


def test_an_answer_is_told_once() -> None:
    reported: list[dict[str, Any]] = []
    inbox = Inbox(lambda event, fields: reported.append(dict(fields)))
    inbox.take("request", {"id": 1, "body": {}})
    request = inbox.next(0.0)
    assert request is not None
    request.answer({"a": 1})
    request.fail(UserError("ATL-AGR-006", "late"))
    assert reported == [{"id": 1, "body": {"a": 1}}]


def test_who_waits_to_spend_hears_of_the_cancel() -> None:
    reported = threading.Event()
    inbox = Inbox(lambda event, fields: reported.set())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(inbox.spend, 1)
        assert reported.wait(10)
        inbox.cancel()
        with pytest.raises(CancelledError):
            waiting.result(10)


def test_what_nobody_waits_for_is_not_begun() -> None:
    sent: list[dict[str, Any]] = []
    inbox = Inbox(lambda event, fields: sent.append(dict(fields)))
    for number in (1, 2):
        inbox.take("request", {"id": number, "body": {}})
    inbox.take("forget", {"id": 1})
    inbox.take("forget", {"id": 9})
    request = inbox.next(0.0)
    assert request is not None
    assert request.number == 2
    assert inbox.next(0.0) is None
    assert [(line["id"], line["error"]["code"]) for line in sent] == [(1, "ATL-JOB-001")]
    # One that was begun is answered as any other.
    inbox.take("forget", {"id": 2})
    request.answer({})
    assert sent[1] == {"id": 2, "body": {}}
