"""What a client does over several requests, as generators that both clients drive.

A flow yields effects (send this, pause, open a stream, read its next line) and is sent their
results; an error that an effect met is thrown in. So retries, waiting for a job and following its
events are written once, without sockets, clocks or ``await``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from atoll.core.errors import AtollError
from atoll.flow.api import views
from atoll.jobs.states import ENDED
from atoll.sdk import sse
from atoll.sdk.calls import jobs
from atoll.sdk.errors import JobFailedError, TimedOutError
from atoll.sdk.wire import Answer, Call, Request, view

ATTEMPTS = 5
# A node that restarts is away for a while; whoever watches a job stays.
PATIENT = 12
STREAMS = 3
END = "end"
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
POLL_SECONDS = 20.0

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Send a request; the result is its ``Answer``."""

    request: Request


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Now:
    """Return the monotonic time in seconds."""


@dataclass(frozen=True)
class Open:
    """Open a stream in place of the one that was open; the result is an ``Answer`` without body."""

    request: Request


@dataclass(frozen=True)
class Line:
    """Read the open stream's next line; the result is None at its end."""


@dataclass(frozen=True)
class Save:
    """Write the open stream's bytes to a file, whole or not at all; the result is their number."""

    file: Path


@dataclass(frozen=True)
class Emit:
    """Hand a value to whoever iterates."""

    value: Any


Effect = Send | Pause | Now | Open | Line | Save | Emit
Flow = Generator[Effect, Any, T]


class Lost(Exception):
    """A request whose answer did not come. ``unsent``: the node cannot have seen it."""

    def __init__(self, error: AtollError, *, unsent: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.unsent = unsent


def pause_after(attempt: int, retry_after: float | None = None) -> float:
    """Return the seconds to wait before the next attempt, doubling from the first."""
    if retry_after is not None:
        return min(retry_after, LONGEST_PAUSE)
    return float(min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE))


def send(call: Call[T], attempts: int = ATTEMPTS) -> Flow[T]:
    """Send a call, again where that is harmless and may help. Errors: those of the node."""
    answer = yield from _asking(Send(call.request), attempts)
    return call.read(answer)


def _asking(effect: Send | Open, attempts: int = ATTEMPTS) -> Flow[Answer]:
    request = effect.request
    for attempt in range(attempts):
        last = attempt + 1 == attempts
        try:
            answer: Answer = yield effect
        except Lost as lost:
            if last or not (lost.unsent or request.repeatable):
                raise lost.error from lost
            yield Pause(pause_after(attempt))
            continue
        again = answer.status in (429, 503) or (answer.status in (502, 504) and request.repeatable)
        if not again or last or not answer.error().retryable:
            return answer
        yield Pause(pause_after(attempt, answer.retry_after))
    raise AssertionError("a flow makes at least one attempt")


def pages(make: Callable[[str | None], Call[Any]]) -> Flow[None]:
    """Emit every item of a paged list; ``make`` returns the call for a cursor."""
    after: str | None = None
    while True:
        page = yield from send(make(after))
        for item in page.items:
            yield Emit(item)
        if page.next is None or page.next == after:
            return
        after = page.next


def download(request: Request, file: Path) -> Flow[int]:
    """Save the body of an answer to a file and return the number of its bytes."""
    answer = yield from _asking(Open(request))
    if not answer.ok:
        raise answer.error()
    count: int = yield Save(file)
    return count


def wait(
    job: str, timeout: float | None = None, *, until: Callable[[views.JobView], bool] | None = None
) -> Flow[views.JobView]:
    """Wait until a job has ended (or ``until`` holds) and return it.

    Errors: ATL-SDK-013 not within ``timeout`` seconds.
    """
    started: float = yield Now()
    reached = until or ended
    # Steps alone do not end a job; what else is waited for may be anything.
    kind = "state" if until is None else None
    after = 0
    while True:
        found = yield from send(jobs.show(job), PATIENT)
        if reached(found):
            return found
        seconds = yield from _left(job, started, timeout)
        asked = jobs.events(job, after=after, wait=min(POLL_SECONDS, seconds), kind=kind)
        news = yield from send(asked, PATIENT)
        if not news.items:
            yield Pause(FIRST_PAUSE)
        after = max(after, news.next, *(event.number for event in news.items), 0)


def _left(job: str, started: float, timeout: float | None) -> Flow[float]:
    if timeout is None:
        return POLL_SECONDS
    now: float = yield Now()
    if now - started >= timeout:
        raise TimedOutError(
            "ATL-SDK-013",
            f"the job has not ended within {timeout:g} s",
            place=job,
            hint="it goes on; wait longer, or see what it waits for: atoll job show",
        )
    return max(timeout - (now - started), 0.05)


def ended(job: views.JobView) -> bool:
    """Return whether a job has come to an end."""
    return job.state in ENDED


def succeeded(job: views.JobView) -> views.JobView:
    """Return a job that succeeded. Errors: the job's own code, or ATL-SDK-014."""
    if job.state == "success":
        return job
    raise JobFailedError(
        job.code or "ATL-SDK-014",
        job.message or f"the job ended as {job.state}",
        party=job.party,
        phase=job.phase,
        place=job.place or job.id,
        hint=job.hint or "see `atoll job show` and `atoll job log`",
    )


def follow(job: str, after: int = 0) -> Flow[None]:
    """Emit a job's events as they happen until it has ended, over broken connections too.

    Each event comes once: a new stream begins after the last number that was seen. Where streams
    keep breaking (some proxies do that), it asks in turns instead.
    """
    broken = 0
    while True:
        seen = after
        if broken < STREAMS:
            after, whole = yield from _one_stream(job, after)
        else:
            after, whole = yield from _one_poll(job, after)
        broken = 0 if whole or after > seen else broken + 1
        found = yield from send(jobs.show(job), PATIENT)
        if ended(found):
            yield from _rest(job, after)
            return
        if after == seen:
            yield Pause(pause_after(broken))


def _one_poll(job: str, after: int) -> Flow[tuple[int, bool]]:
    """Emit what one question brings; return the last number."""
    news = yield from send(jobs.events(job, after=after, wait=POLL_SECONDS), PATIENT)
    for event in news.items:
        if event.number > after:
            after = event.number
            yield Emit(event)
    return after, False


def _one_stream(job: str, after: int) -> Flow[tuple[int, bool]]:
    """Emit what one connection brings; return the last number, and whether it ended in order."""
    try:
        answer = yield from _asking(Open(jobs.stream(job, after)), PATIENT)
        if not answer.ok:
            raise answer.error()
        reader = sse.Reader()
        while True:
            line = yield Line()
            if line is None:
                return after, True
            arrived = reader.feed(line)
            if arrived is None:
                continue
            if arrived.name == END:
                return after, True
            event = view(views.Event, arrived.value())
            if event.number > after:
                after = event.number
                yield Emit(event)
    except Lost:
        return after, False


def _rest(job: str, after: int) -> Flow[None]:
    """Emit what happened between the end of the stream and the end of the job."""
    while True:
        news = yield from send(jobs.events(job, after=after), PATIENT)
        fresh = [event for event in news.items if event.number > after]
        for event in fresh:
            after = event.number
            yield Emit(event)
        if not fresh:
            return
