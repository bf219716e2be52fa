"""Waiting for a job's events: one long poll, or a stream of server-sent events.

A wait holds a thread of its own small pool, for a short slice at a time, so that watchers never
take the threads that other requests need and a stopping node waits for none. Where the pool is
used up, a watcher looks again each second.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence

import anyio
import anyio.to_thread
from fastapi import Request

from atoll.flow.api import views
from atoll.flow.api.guard import still_allowed
from atoll.flow.api.services import JobService, View
from atoll.flow.api.shaping import shape
from atoll.jobs.states import ENDED

SLICE_SECONDS = 1.0
ALIVE_SECONDS = 15.0


async def _poll(
    request: Request, jobs: JobService, job: str, after: int, wait: float, kind: str | None = None
) -> Sequence[View]:
    limiter: anyio.CapacityLimiter = request.app.state.watchers
    if wait > 0 and limiter.available_tokens < 1:
        await asyncio.sleep(min(wait, SLICE_SECONDS))
        wait = 0.0
    return await anyio.to_thread.run_sync(
        lambda: jobs.events(job, after, wait, kind), abandon_on_cancel=True, limiter=limiter
    )


async def wait_for(
    request: Request, jobs: JobService, job: str, after: int, wait: float, kind: str | None = None
) -> Sequence[View]:
    """Return the events after a number, waiting up to ``wait`` seconds for the first."""
    until = time.monotonic() + min(wait, request.app.state.settings.wait_seconds)
    while True:
        left = until - time.monotonic()
        found = await _poll(request, jobs, job, after, max(0.0, min(left, SLICE_SECONDS)), kind)
        stopping = request.app.state.stopping.is_set()
        if found or left <= 0 or stopping or await request.is_disconnected():
            return found


async def stream(request: Request, jobs: JobService, job: str, after: int) -> AsyncIterator[bytes]:
    """Give a job's events as they come, until the job has ended or the watcher is gone.

    An event's id is its number, so that a browser goes on where it was (Last-Event-ID). It also
    ends soon after the watcher's token or session does.
    """
    last = asked = time.monotonic()
    while not request.app.state.stopping.is_set():
        found = await _poll(request, jobs, job, after, SLICE_SECONDS)
        for event in found:
            view = shape(views.Event, event)
            after = view.number
            yield _message(view)
        if not found and await _ended(jobs, job):
            yield b"event: end\ndata: {}\n\n"
            return
        now = time.monotonic()
        if now - asked > ALIVE_SECONDS:
            asked = now
            if not await still_allowed(request):
                return
        if found:
            last = now
        elif now - last > ALIVE_SECONDS:
            last = now
            yield b": alive\n\n"
        if await request.is_disconnected():
            return


async def _ended(jobs: JobService, job: str) -> bool:
    row = await anyio.to_thread.run_sync(jobs.get, job)
    return shape(views.JobRow, row).state in ENDED


def _message(event: views.Event) -> bytes:
    data = json.dumps(event.model_dump(mode="json"), separators=(",", ":"), allow_nan=False)
    return f"id: {event.number}\nevent: job\ndata: {data}\n\n".encode()
