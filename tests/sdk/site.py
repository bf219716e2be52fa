"""A node for tests of clients: the real API, server, users, audit log and ledger over SQLite.

Services that would need a second party are played: jobs that a test moves on, tables, models.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atoll.core.report import Report
from atoll.flow.access import Access, AccessSettings, Passwords
from atoll.flow.api.app import create_app
from atoll.flow.api.server import Server
from atoll.flow.api.services import Content
from atoll.flow.api.settings import ApiSettings
from atoll.flow.policy.ledger import DatabaseLedger
from atoll.flow.store import Database
from atoll.jobs.definition import Job
from atoll.jobs.errors import ConflictError, NotFoundError
from tests.sdk.agreements import Agreements
from tests.sdk.small import DIGEST, Components, Settings, Status

PASSWORD = "correct horse battery staple"


@dataclass
class Page:
    """A page of a list."""

    rows: Sequence[Any]
    next: str | None = None


def page(rows: Sequence[dict[str, Any]], key: str, limit: int, after: str | None) -> Page:
    """Cut a list after a cursor."""
    left = list(rows)
    if after is not None:
        names = [str(row[key]) for row in left]
        left = left[names.index(after) + 1 :] if after in names else []
    more = len(left) > limit
    return Page(left[:limit], str(left[limit - 1][key]) if more else None)


@dataclass
class PlayedJob:
    """A job that a test moves on."""

    view: dict[str, Any]
    job: Job
    events: list[dict[str, Any]] = field(default_factory=list)


class Jobs:
    """Jobs in memory."""

    def __init__(self) -> None:
        self.jobs: dict[str, PlayedJob] = {}
        self.keys: dict[str, str] = {}
        self.moved = threading.Condition()
        self.submissions = 0

    def _row(self, id: str, job: Job) -> dict[str, Any]:
        steps = {
            name: {"state": "waiting", "attempt": 0, "component": step.component}
            for name, step in job.steps.items()
        }
        return {
            "id": id,
            "name": job.name,
            "state": "waiting",
            "role": "guest",
            "initiator": "bank",
            "owner": "admin",
            "reason": "the partner has not answered yet",
            "parties": {party: role.value for party, role in job.first_roles.items()},
            "steps": steps,
            "order": list(steps),
            "plan_digest": DIGEST,
            "created": 1.0,
            "job": job.canonical(),
        }

    def plan(self, job: Job, options: Mapping[str, Any], actor: Any) -> Any:
        return {"digest": DIGEST, "agreed": False, "plan": {"job": job.canonical()}}

    def submit(
        self,
        job: Job,
        options: Any,
        actor: Any,
        key: str | None,
        tags: Sequence[str],
        notes: str,
    ) -> Any:
        self.submissions += 1
        if key is not None and key in self.keys:
            return self.get(self.keys[key])
        id = f"20260101000000-{len(self.jobs):08x}"
        view = self._row(id, job) | {"tags": list(tags), "notes": notes}
        self.jobs[id] = PlayedJob(view, job)
        if key is not None:
            self.keys[key] = id
        self.add_event(id, "state", state="waiting")
        return self.get(id)

    def add_event(self, id: str, kind: str, step: str | None = None, **data: Any) -> None:
        """Add an event."""
        with self.moved:
            events = self.jobs[id].events
            event = {"number": len(events) + 1, "time": float(len(events)), "kind": kind}
            events.append(event | {"step": step, "attempt": 1 if step else None, "data": data})
            self.moved.notify_all()

    def move(self, id: str, state: str, **fields: Any) -> None:
        """Bring a job to a state."""
        self.jobs[id].view.update(state=state, reason=None, **fields)
        if state == "success":
            for step in self.jobs[id].view["steps"].values():
                step.update(state="success", attempt=1)
        self.add_event(id, "state", state=state)

    def _job(self, id: str) -> PlayedJob:
        if id not in self.jobs:
            raise NotFoundError("ATL-JOB-010", "there is no such job", place=id)
        return self.jobs[id]

    def list(self, *, limit: int, after: str | None, **wanted: Any) -> Any:
        rows = [
            played.view
            for _, played in sorted(self.jobs.items(), reverse=True)
            if wanted["state"] in (None, played.view["state"])
            and wanted["name"] in (None, played.view["name"])
        ]
        return page(rows, "id", limit, after)

    def get(self, job: str) -> Any:
        return dict(self._job(job).view)

    def annotate(self, job: str, actor: Any, *, tags: Any, notes: Any) -> Any:
        changed = {"tags": tags, "notes": notes}
        self._job(job).view.update({k: v for k, v in changed.items() if v is not None})
        return self.get(job)

    def stop(self, job: str, actor: Any) -> Any:
        self._job(job)
        self.move(job, "cancelled", code="ATL-JOB-001")
        return self.get(job)

    def retry(self, job: str, actor: Any) -> Any:
        if self._job(job).view["state"] == "running":
            raise ConflictError("ATL-FLW-009", "the job is running", place=job)
        self.move(job, "running")
        return self.get(job)

    def rerun(self, job: str, step: str | None, actor: Any) -> Any:
        self.move(job, "running", phase=step)
        return self.get(job)

    def approve(self, job: str, digest: str, actor: Any) -> Any:
        if digest != self._job(job).view["plan_digest"]:
            raise ConflictError("ATL-POL-001", "this is not the plan of this job")
        self.move(job, "running")
        return self.get(job)

    def refuse(self, job: str, reason: str, actor: Any) -> Any:
        self.move(job, "refused", code="ATL-POL-002", message=reason)
        return self.get(job)

    def plan_of(self, job: str) -> Any:
        return {"digest": DIGEST, "agreed": True, "plan": {"job": self._job(job).job.canonical()}}

    def events(self, job: str, after: int, wait: float, kind: str | None = None) -> Any:
        until = time.monotonic() + wait
        with self.moved:
            while True:
                reported = (e for e in self._job(job).events if kind in (None, e["kind"]))
                found = [e for e in reported if e["number"] > after][:200]
                left = until - time.monotonic()
                if found or left <= 0:
                    return found
                self.moved.wait(left)

    def log(self, job: str, step: str, attempt: int | None) -> Any:
        self._step(job, step)
        return [{"time": 1.0, "level": "info", "message": "begun"}]

    def _step(self, job: str, step: str) -> None:
        if step not in self._job(job).view["steps"]:
            raise NotFoundError("ATL-JOB-010", "there is no such step", place=step)

    def metrics(self, job: str, step: str, attempt: int | None) -> Any:
        return [{"name": "auc", "number": 0, "value": 0.75, "time": 2.0}]

    def report(self, job: str, step: str, attempt: int | None) -> Any:
        self._step(job, step)
        if step == "reader":
            raise NotFoundError("ATL-JOB-010", "this step has no report", place=step)
        panel = {"kind": "kv", "title": "Rows", "values": {"<own>": 3}}
        return {"version": 1, "title": "Rows & more", "panels": [panel]}

    def traffic(self, job: str) -> Any:
        return [{"step": "psi", "peer": "shop", "bytes_sent": 10, "bytes_received": 20}]

    def artifacts(self, job: str) -> Any:
        one = {"step": "psi", "name": "table", "kind": "table", "digest": DIGEST}
        return [one | {"attempt": 1, "bytes": 100, "rows": 3}]

    def open_artifact(self, job: str, step: str, name: str) -> Any:
        self._step(job, step)
        file = self.folder / "artifact.bin"
        file.write_bytes(b"x" * 100_000)
        return Content(name, "model", file, DIGEST, 100_000)

    folder: Path


class Data:
    """Tables in memory."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {}
        self.given: dict[str, dict[str, Any]] = {}
        self.caps: dict[tuple[str, str], dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}

    def _add(self, name: str, **fields: Any) -> Any:
        self.tables[name] = {
            "name": name,
            "digest": DIGEST,
            "columns": ["x0", "x1"],
            "rows": 3,
            "created": 1.0,
            **fields,
        }
        return self.tables[name]

    def register(
        self, name: str, path: str, id_column: str, label: Any, description: str, owner: str
    ) -> Any:
        about = {"id_column": id_column, "label": label, "description": description}
        return self._add(name, format="csv", bytes=10, owner=owner, **about)

    async def upload(
        self,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        form: str,
        id_column: str,
        label: Any,
        description: str,
        owner: str,
    ) -> Any:
        data = b"".join([chunk async for chunk in chunks])
        self.contents[name] = data
        about = {"id_column": id_column, "label": label, "owner": owner}
        return self._add(name, format=form, bytes=len(data), uploaded=True, **about)

    def _table(self, name: str) -> dict[str, Any]:
        if name not in self.tables:
            raise NotFoundError("ATL-DAT-101", "there is no such table", place=name)
        return self.tables[name]

    def list(self, *, limit: int, after: str | None) -> Any:
        return page([self.tables[n] for n in sorted(self.tables)], "name", limit, after)

    def get(self, name: str) -> Any:
        return self._table(name)

    def preview(self, name: str, rows: int) -> Any:
        self._table(name)
        return {"name": name, "columns": ["id", "x0"], "rows": [["a", 1.5], ["b", None]][:rows]}

    def check(self, name: str) -> Any:
        column = {"name": "x0", "role": "feature", "type": "float", "missing": 0}
        return {
            "file": f"{name}.csv",
            "format": "csv",
            "bytes": 10,
            "rows": 3,
            "ok": True,
            "columns": [column | {"distinct": 3, "many": False}],
            "problems": [],
            "complete": True,
        }

    def delete(self, name: str, *_: Any, force: bool) -> None:
        self._table(name)
        if self.given and not force:
            raise ConflictError("ATL-DAT-107", "the table is in use", place=name)
        del self.tables[name]

    def grants(self, name: str, *_: Any) -> Any:
        return [grant for grant in self.given.values() if grant["data"] == name]

    def grant(self, name: str, terms: Any, actor: Any) -> Any:
        self._table(name)
        id = f"g{len(self.given)}"
        self.given[id] = {"id": id, "data": name, "created_by": actor.user, "created": 1.0}
        self.given[id] |= terms.model_dump()
        return self.given[id]

    def limits(self, name: str, *_: Any) -> Any:
        return [caps for (table, _), caps in self.caps.items() if table == name]

    def limit(self, name: str, partner: str, caps: Any, actor: Any) -> Any:
        self._table(name)
        made = {"data": name, "partner": partner, "caps": caps.model_dump()}
        self.caps[name, partner] = made
        return made

    def revoke(self, grant: str, actor: Any) -> None:
        if grant not in self.given:
            raise NotFoundError("ATL-POL-010", "there is no such grant", place=grant)
        del self.given[grant]


class Models:
    """One model."""

    def __init__(self) -> None:
        self.model: dict[str, Any] = {
            "id": "credit",
            "version": 1,
            "job": "20260101000000-00000000",
            "step": "boosting",
            "role": "guest",
            "kind": "boosting.model",
            "digest": DIGEST,
            "stage": "candidate",
            "created": 1.0,
        }

    def list(self, *, stage: str | None, limit: int, after: str | None) -> Any:
        return Page([self.model] if stage in (None, self.model["stage"]) else [])

    def get(self, model: str, version: int) -> Any:
        if (model, version) != ("credit", 1):
            raise NotFoundError("ATL-REG-001", "there is no such model", place=model)
        return self.model

    def card(self, model: str, version: int) -> Any:
        return Report(title=self.get(model, version)["id"], panels=()).model_dump(mode="json")

    def stage(self, model: str, version: int, stage: str) -> Any:
        self.model["stage"] = stage
        return self.get(model, version)

    def bind(self, model: str, version: int, service: str) -> Any:
        return {"name": service, "model": model, "version": version, "updated": 1.0}

    def rollback(self, service: str) -> Any:
        return self.bind("credit", 1, service)

    def services(self, *, limit: int, after: str | None) -> Any:
        return Page([self.bind("credit", 1, "score")])

    def export(self, model: str, version: int) -> Iterable[bytes]:
        self.get(model, version)
        return iter([b"archive", b" of a model"])

    async def import_(self, chunks: AsyncIterator[bytes]) -> Any:
        [chunk async for chunk in chunks]
        return self.model

    def migrate(self, model: str, version: int, parties: Any) -> Any:
        return self.get(model, version) | {"version": 2}

    def predict_job(self, model: str, version: int, tables: Mapping[str, str]) -> Job:
        return make_job()

    proposed: dict[str, Any]

    def agreement_job(
        self, model: str, version: int, tables: Mapping[str, str], terms: Mapping[str, Any]
    ) -> Job:
        self.get(model, version)
        self.proposed = {"tables": dict(tables), **terms}
        return make_job()


class Parties:
    """One partner."""

    def __init__(self) -> None:
        self.known = {"shop": {"party": "shop", "address": "shop.example:9000", "added": 1.0}}

    def list(self, *, limit: int, after: str | None) -> Any:
        return Page(list(self.known.values()))

    def add(self, party: str, authority: str, address: str | None, actor: Any) -> Any:
        self.known[party] = {"party": party, "address": address, "added": 1.0}
        return self.known[party]

    def remove(self, party: str, actor: Any) -> None:
        if party not in self.known:
            raise NotFoundError("ATL-PTY-012", "no such partner", party=party)
        del self.known[party]

    def invite(self, party: str, actor: Any) -> Any:
        return {"id": "0f", "party": party, "code": "one-time-code", "expires": 2.0}

    def invitations(self, *, limit: int, after: str | None) -> Any:
        return Page([{"id": "0f", "party": "mill", "expires": 2.0}])

    def withdraw(self, number: str, actor: Any) -> None:
        if number != "0f":
            raise NotFoundError("ATL-NOD-034", "no open invitation has this id")

    def accept(self, code: str, address: str | None, actor: Any) -> Any:
        return self.add("inviter", "", address, actor)

    def confirm(self, party: str, address: str, actor: Any) -> Any:
        return self.add(party, "", address, actor)

    def ping(self, party: str) -> Any:
        return {"party": party, "reachable": True, "seconds": 0.001}

    def rotate(self, actor: Any) -> Any:
        return {"fingerprint": "AB", "expires": 3.0}


@dataclass
class Played:
    """All services."""

    access: Access
    ledger: DatabaseLedger
    jobs: Jobs = field(default_factory=Jobs)
    data: Any = field(default_factory=Data)
    models: Models = field(default_factory=Models)
    agreements: Agreements = field(default_factory=Agreements)
    parties: Parties = field(default_factory=Parties)
    components: Components = field(default_factory=Components)
    settings: Settings = field(default_factory=Settings)
    status: Status = field(default_factory=Status)


@dataclass
class Site:
    """A running node: where it is, an administrator's token, and what is played."""

    url: str
    token: str
    played: Played
    server: Server
    app: Any


def make_job() -> Job:
    """Return a job of two steps."""
    from atoll.sdk import Pipeline

    p = Pipeline("credit", guest="bank", host="shop")
    p.psi(p.reader(tables={"bank": "loans", "shop": "visits"}))
    return p.to_job()


@contextmanager
def site(
    folder: Path, port: int = 0, *, former: Site | None = None, **settings: Any
) -> Iterator[Site]:
    """Serve a node in this process, perhaps with the database and jobs of one that has ended."""
    chosen = ApiSettings(port=port, drain_seconds=1.0, **settings)
    with Database.open(f"sqlite:///{folder / 'atoll.db'}") as database:
        # Cheap hashes: these tests are not about them.
        passwords = Passwords(time_cost=1, memory_kib=8, parallelism=1)
        access = Access(database, AccessSettings(), passwords=passwords)
        token = former.token if former is not None else _token(access)
        jobs = former.played.jobs if former is not None else Jobs()
        played = Played(access, DatabaseLedger(database, "bank"), jobs)
        played.jobs.folder = folder
        app = create_app(played, chosen)
        with Server(app, chosen) as server:
            yield Site(server.url, token, played, server, app)


def _token(access: Access) -> str:
    first = access.bootstrap() or ""
    token, _ = access.login("admin", first)
    access.change_password(access.authenticate(token), first, PASSWORD)
    return access.login("admin", PASSWORD)[0]
