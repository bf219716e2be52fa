"""Drives one job over the nodes of a federation in this process, by the services of each node."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atoll.components.api import Tables
from atoll.components.kinds import declared
from atoll.core.errors import AtollError, UserError
from atoll.core.names import Role
from atoll.flow import planning
from atoll.flow.node.jobs.tasks import FILE, REPORT
from atoll.flow.store import EventRow
from atoll.flow.store import Events as JobEvents
from atoll.flow.work.artifacts import load
from atoll.flow.work.events import Events
from atoll.flow.work.steps import located
from atoll.jobs.definition import Job
from atoll.jobs.errors import NotFoundError
from atoll.jobs.plan import Plan
from atoll.jobs.states import ENDED
from atoll.sdk.errors import JobFailedError
from atoll.sdk.frames import FrameTables
from atoll.sdk.results import Report
from atoll.sim.nodes import LocalNode
from atoll.table import Table, write

_POLL_SECONDS = 1.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Left:
    """What a job left at a party, by ``step.output``, by step, and by ``step/file``."""

    outputs: dict[str, Any] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def left(node: LocalNode, job: str) -> Left:
    """Return what a job left at a node, decoded. Errors: ATL-WRK-006 a damaged file."""
    found, kinds = Left(), declared(node.catalogue())
    for row in node.services.jobs.artifacts(job):
        step, name = row["step"], str(row["name"])
        value = load(row["kind"], node.files.path(row["digest"]), row["digest"], kinds)
        if row["kind"] == REPORT:
            found.reports[step] = Report.model_validate(value.model_dump())
        elif name.startswith(FILE):
            found.files[f"{step}/{name.removeprefix(FILE)}"] = value
        else:
            found.outputs[f"{step}.{name}"] = value
    return found


class _Opened:
    """A party's tables that notes which ones a job opens, and with what id and label."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.seen: dict[str, list[Table]] = {}

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Return a table. Errors: those of ``FrameTables.open``."""
        found = self._tables.open(name, id_column=id_column, label=label)
        self.seen.setdefault(name, []).append(found)
        return found


class Driver:
    """One job at its nodes."""

    def __init__(self, nodes: Mapping[str, LocalNode], job: Job) -> None:
        self._nodes = nodes
        self._job = job
        guests = [party for party, roles in job.parties.items() if Role.GUEST in roles]
        self.first = (guests or list(job.parties))[0]

    def register(self, tables: Mapping[str, FrameTables]) -> None:
        """Register the tables that the job uses at their nodes, as they are by now.

        Errors: those of the job and of the tables, with their party.
        """
        catalogue = self._nodes[self.first].catalogue()
        planning.check(self._job, catalogue)
        for party, node in self._nodes.items():
            opened = _Opened(tables[party].fresh())
            try:
                planning.declare(self._job, catalogue, party, opened)
                for name, seen in opened.seen.items():
                    _register(node, name, seen)
            except AtollError as error:
                raise error.located(party=party, phase=planning.AGREEMENT_STEP) from None

    def plan(self) -> Plan:
        """Return the plan. Errors: those of the party that cannot agree to it."""
        try:
            return self._plan(self.first)
        except AtollError as error:
            # A partner is sent little: the party's own node has the reason.
            if error.party not in (None, self.first) and error.party in self._nodes:
                self._plan(error.party)
            raise

    def _plan(self, party: str) -> Plan:
        node = self._nodes[party]
        found = Plan.model_validate(node.services.jobs.plan(self._job, {}, node.owner())["plan"])
        for name, one in self._nodes.items():
            try:
                one.declarer.verify(found)
            except AtollError as error:
                raise error.located(party=name, phase=planning.AGREEMENT_STEP) from None
        return found

    def run(self, events: Callable[[str], Events] | None) -> str:
        """Run the job to its end and return its id. Errors: the first cause at any party."""
        node = self._nodes[self.first]
        # Each run computes: nothing is taken over from an earlier one.
        made = node.services.jobs.submit(self._job, {"reuse": False}, node.owner(), None, (), "")
        job = str(made["id"])
        followers = [
            _Follower(party, one, job, events(party) if events else None)
            for party, one in self._nodes.items()
        ]
        try:
            for follower in followers:
                while not (follower.ended.wait(_POLL_SECONDS) or self._never_sent(job, follower)):
                    pass
        except KeyboardInterrupt:
            node.services.jobs.stop(job, node.owner())
            for follower in followers:
                follower.ended.wait(_STOP_SECONDS)
            raise
        finally:
            for follower in followers:
                follower.close()
        for follower in followers:
            if follower.error is not None:
                raise follower.error
        self._check(job)
        return job

    def _never_sent(self, job: str, follower: _Follower) -> bool:
        """Return whether a job ended at its initiator before this party was sent anything of it."""
        first = self._nodes[self.first].services.jobs.get(job)
        return first["state"] in ENDED and self._view(job, follower.party) is None

    def _view(self, job: str, party: str) -> Mapping[str, Any] | None:
        try:
            return self._nodes[party].services.jobs.get(job)
        except NotFoundError:
            return None

    def _check(self, job: str) -> None:
        found = {party: self._view(job, party) for party in self._nodes}
        views = {party: view for party, view in found.items() if view is not None}
        failed = failure(views[self.first], views)
        if failed is not None:
            raise failed


def failure(
    first: Mapping[str, Any], views: Mapping[str, Mapping[str, Any]]
) -> JobFailedError | None:
    """Return what ended a job, in the words of the party where it happened; ``first`` leads.

    A party that was sent the code before it came to it itself has no words for it: another has.
    """
    failed = [view for view in (first, *views.values()) if view["state"] != "success"]
    if not failed:
        return None
    first, party = failed[0], failed[0].get("party")
    ranked = (views.get(str(party), first), *failed)
    cause = next((view for view in ranked if _explains(view, first)), first)
    return JobFailedError(
        cause.get("code") or "ATL-SDK-014",
        cause.get("message") or f"the job ended as {first['state']}",
        party=party,
        phase=_phase(first.get("phase") or ""),
        place=cause.get("place"),
        hint=cause.get("hint"),
    )


def _explains(view: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    """Return whether a view has words for the end that the first names, an own code included."""
    same = view.get("code") == first.get("code") or view.get("party") == first.get("party")
    return same and bool(view.get("message"))


def _phase(phase_text: str) -> str | None:
    """Return a phase as components and reports know it: a node writes ``step: phase``."""
    step, _, inner = phase_text.partition(": ")
    return (phase_text if inner and inner != step else step) or None


def _register(node: LocalNode, name: str, seen: list[Table]) -> None:
    """Register a table under its name, in place of what it was before."""
    table = seen[0]
    label = table.label_name if len({one.label_name for one in seen}) == 1 else None
    if any(one.id_name != table.id_name for one in seen):
        raise UserError("ATL-SDK-030", "two steps name different ids of one table", place=name)
    data, path = node.services.data, node.folder.data / f"{name}-{table.digest()[:32]}.arrow"
    with suppress(NotFoundError):
        known = data.get(name)
        if known["path"] == str(path) and known["label"] == label:
            return
        data.delete(name, node.owner(), force=True)
        Path(known["path"]).unlink(missing_ok=True)
    if not path.exists():
        write(table, path)
    data.register(name, str(path), table.id_name, label, "", node.owner().user)


class _Follower:
    """Follows a job at one node to its end: reports its events, and approves what waits there.

    All parties belong to the caller, who approves at each node as its administrator; that is kept
    in the node's ledger and audit like any other approval.
    """

    def __init__(self, party: str, node: LocalNode, job: str, listener: Events | None) -> None:
        self.party, self._node, self._job, self._listener = party, node, job, listener
        self._started: dict[str, float] = {}
        self._closing = False
        self.ended = threading.Event()
        self.error: AtollError | None = None
        self._thread = threading.Thread(target=self._run, name=f"follow {job}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._closing = True

    def _run(self) -> None:
        after, kept = 0, JobEvents(self._node.database)
        try:
            while not self._closing:
                for event in kept.wait(self._job, after, _POLL_SECONDS):
                    after = event.number
                    if self._take(event):
                        return
        except Exception as error:
            # It cannot be approved here: the other parties must not wait for that.
            self.error = located(error, self.party, planning.AGREEMENT_STEP)
            self._node.services.jobs.stop(self._job, self._node.owner())
        finally:
            self.ended.set()

    def _take(self, event: EventRow) -> bool:
        """Take in an event; return whether it is the end."""
        state = event.data.get("state") if event.kind == "state" else None
        if self._listener is not None:
            report_event(event, self._listener, self._started)
        if state == "awaiting approval":
            jobs, owner = self._node.services.jobs, self._node.owner()
            jobs.approve(self._job, str(jobs.plan_of(self._job)["digest"]), owner)
        return state in ENDED


def report_event(event: EventRow, listener: Events, started: dict[str, float]) -> None:
    """Report an event of a node in the words of a run: phase, progress, step, finished, failed."""
    kind, step, data = event.kind, event.step or "", event.data
    if kind in ("phase", "progress"):
        listener(kind, **{"step": step, **data})
    elif kind == "step" and data.get("own") == "running":
        started.setdefault(step, event.time)
    elif kind == "step" and data.get("own") == "success" and step in started:
        listener("step", step=step, seconds=event.time - started.pop(step))
    elif kind == "state" and data.get("state") == "success":
        listener("finished")
    elif kind == "state" and data.get("state") in ENDED:
        listener("failed", error={"code": data.get("code")})
