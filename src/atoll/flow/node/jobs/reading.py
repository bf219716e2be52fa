"""What can be read of jobs without moving them: lists, events, logs, metrics, reports, outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from atoll.flow.access import Actor
from atoll.flow.api.services import Content, Page
from atoll.flow.node.jobs.tasks import REPORT, Recorder
from atoll.flow.store import (
    Artifacts,
    Database,
    Events,
    Jobs,
    JobSummary,
    Metrics,
    Tasks,
    Traffic,
    every,
)
from atoll.flow.store.files import ArtifactFiles
from atoll.flow.store.paging import MOST
from atoll.jobs.errors import NotFoundError
from atoll.models.kinds import Kinds

_LOG_LINES = 10_000
_LOG_BYTES = 8 << 20
_EVENTS = 200
_REASON = ("message", "place", "hint")


class JobReading:
    """The read side of ``JobService``; no permission is checked here (the API does)."""

    def __init__(
        self,
        database: Database,
        files: ArtifactFiles,
        recorder: Recorder,
        kinds: Callable[[], Kinds],
    ) -> None:
        """``kinds`` returns the kinds of models and transforms that are known here."""
        self.kinds = kinds
        self.database = database
        self.files = files
        self.recorder = recorder
        self.jobs = Jobs(database)
        self.tasks = Tasks(database)
        self._events = Events(database)
        self._metrics = Metrics(database)
        self._traffic = Traffic(database)
        self._artifacts = Artifacts(database)

    def list(
        self,
        *,
        state: str | None,
        name: str | None,
        party: str | None,
        tag: str | None,
        limit: int,
        after: str | None,
    ) -> Page:
        """Return jobs, the newest first."""
        states = (state,) if state else ()
        found = self.jobs.list(
            states=states, name=name, party=party, tag=tag, limit=limit, after=after
        )
        return Page([self.row_view(row) for row in found], found.next)

    def row_view(self, row: JobSummary) -> dict[str, Any]:
        """Return what a list shows of a job."""
        return {
            "id": row.id,
            "name": row.name,
            "state": row.state,
            "role": row.role or "",
            "initiator": row.initiator,
            "owner": row.owner or "",
            "reason": row.reason,
            "code": row.code,
            "priority": row.priority,
            "tags": list(row.tags),
            "created": row.created,
            "started": row.started,
            "ended": row.ended,
        }

    def annotate(
        self, job: str, actor: Actor, *, tags: Sequence[str] | None, notes: str | None
    ) -> Mapping[str, Any]:
        """Change tags or notes; None leaves them."""
        changes: dict[str, Any] = {}
        if tags is not None:
            changes["tags"] = list(tags)
        if notes is not None:
            changes["notes"] = notes
        if changes:
            self.jobs.update(job, changes)
        return self.get(job)

    def get(self, job: str) -> Mapping[str, Any]:
        """Return a job; ``JobService`` adds what only the machine knows."""
        return self.row_view(self.jobs.get(job))

    def events(
        self, job: str, after: int, wait: float, kind: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Return events after a number; where there are none, wait for the first."""
        self._known(job)
        found = self._events.wait(job, after, wait, limit=_EVENTS, kind=kind)
        return [
            {
                "number": e.number,
                "time": e.time,
                "kind": e.kind,
                "step": e.step,
                "attempt": e.attempt,
                "data": dict(e.data),
            }
            for e in found
        ]

    def why(self, job: str, code: str | None) -> dict[str, Any]:
        """Return message, place and hint of what ended a job, where this node knows them."""
        if code is None:
            return {}
        for task in reversed(self.tasks.list(job).rows):
            if task.code == code and task.message:
                return {"message": task.message, "hint": task.hint}
        for event in reversed(self._events.list(job, after=max(self._events.last(job) - 20, 0))):
            if event.kind == "state" and event.data.get("code") == code:
                return {k: event.data[k] for k in _REASON if k in event.data}
        return {}

    def _known(self, job: str) -> None:
        # Not the whole row, which is long: watchers ask at every event.
        self.jobs.owner(job)

    def _attempt(self, job: str, step: str, attempt: int | None) -> int:
        self._known(job)
        rows = self.tasks.list(job, step=step).rows
        if not rows or (attempt is not None and attempt not in {r.attempt for r in rows}):
            raise NotFoundError(
                "ATL-NOD-027", "this step has no such attempt here", place=f"{job}/{step}"[:200]
            )
        return max(r.attempt for r in rows) if attempt is None else attempt

    def log(self, job: str, step: str, attempt: int | None) -> Sequence[Mapping[str, Any]]:
        """Return the last lines of an attempt's log."""
        path = self.recorder.log_path(job, step, self._attempt(job, step, attempt))
        if not path.exists():
            return []
        with path.open("rb") as file:
            size = path.stat().st_size
            file.seek(max(size - _LOG_BYTES, 0))
            text = file.read(_LOG_BYTES).decode("utf-8", "replace")
        lines = text.splitlines()[-_LOG_LINES:]
        return [line for line in map(_line, lines) if line is not None]

    def metrics(self, job: str, step: str, attempt: int | None) -> Sequence[Mapping[str, Any]]:
        """Return the metrics of an attempt."""
        number = self._attempt(job, step, attempt)
        rows = every(lambda after: self._metrics.list(job, step, number, limit=MOST, after=after))
        points = (
            {"name": r.name, "number": r.number, "value": r.value, "time": r.time}
            for r in rows
            if r.value is not None
        )
        return list(islice(points, _LOG_LINES))

    def report(self, job: str, step: str, attempt: int | None) -> Mapping[str, Any]:
        """Return the report of an attempt. Errors: ATL-NOD-028 it has none."""
        number = self._attempt(job, step, attempt)
        row = self._artifacts.find(job, step, REPORT, number)
        if row is None:
            raise NotFoundError(
                "ATL-NOD-028", "this step has no report here", place=f"{job}/{step}"
            )
        with self.files.open(row.digest) as file:
            found: Mapping[str, Any] = json.loads(file.read())
        return found

    def traffic(self, job: str) -> Sequence[Mapping[str, Any]]:
        """Return what was sent and received, by step, attempt, peer and tag."""
        self._known(job)
        return [
            {
                "step": r.step,
                "attempt": r.attempt,
                "peer": r.peer,
                "task": r.task,
                "tag": r.tag,
                "bytes_sent": r.bytes_sent,
                "bytes_received": r.bytes_received,
                "messages_sent": r.messages_sent,
                "messages_received": r.messages_received,
            }
            for r in every(lambda after: self._traffic.list(job, limit=MOST, after=after))
        ]

    def artifacts(self, job: str) -> Sequence[Mapping[str, Any]]:
        """Return what a job has made here, but for the job's seed."""
        self._known(job)
        return [
            {
                "step": r.step,
                "attempt": r.attempt,
                "name": r.name,
                "kind": r.kind,
                "digest": r.digest,
                "bytes": r.bytes or self._size(r.digest),
                "rows": r.rows,
                "created": r.created,
            }
            for r in every(lambda after: self._artifacts.list(job, limit=MOST, after=after))
            if r.kind != "seed"
        ]

    def _size(self, digest: str) -> int:
        path = self.files.path(digest)
        return path.stat().st_size if path.exists() else 0

    def open_artifact(self, job: str, step: str, name: str) -> Content:
        """Return where an output lies. Errors: ATL-NOD-029 none of this name, or the seed."""
        self._known(job)
        row = self._artifacts.find(job, step, name)
        if row is None or row.kind == "seed":
            raise NotFoundError(
                "ATL-NOD-029",
                "this step has no such output here",
                place=f"{job}/{step}/{name}"[:200],
                hint="see them with `atoll job artifacts`",
            )
        size = row.bytes or self._size(row.digest)
        declared = self.kinds().get(row.kind)
        media = None if declared is None else declared.media
        return Content(name, row.kind, self.files.path(row.digest), row.digest, size, media)


def _line(text: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(text)
        return {
            "time": float(value["time"]),
            "level": str(value.get("level", "info")),
            "message": str(value.get("message", "")),
        }
    except (ValueError, KeyError, TypeError):
        return None
