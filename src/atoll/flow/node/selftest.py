"""The node tries itself: database, workers, partners, and a small job over made-up tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atoll.core.errors import AtollError, NetworkError
from atoll.flow.access import Actor
from atoll.flow.node.jobs.answers import unexpected
from atoll.flow.node.jobs.service import JobService
from atoll.flow.node.partners.service import PartyService
from atoll.flow.store import Database, Meta
from atoll.flow.work.pool import Pool
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.states import ENDED

_SECONDS = 120.0
_MARK = "selftest"


class SelfTest:
    """One run of the test; each thing that is tried becomes a line, and a failure ends it."""

    def __init__(
        self, jobs: JobService, parties: PartyService, pool: Pool, database: Database
    ) -> None:
        self._jobs = jobs
        self._parties = parties
        self._pool = pool
        self._database = database
        self._lines: list[dict[str, Any]] = []

    def run(self, parties: Sequence[str], actor: Actor) -> Sequence[Mapping[str, Any]]:
        """Try everything with these partners (none: all that this node has)."""
        chosen = sorted(parties or self._parties.identity.peers)
        ways: list[tuple[str, Callable[[], str]]] = [
            ("database", self._write),
            ("workers", self._workers),
            *((f"partner {party}", lambda party=party: self._ping(party)) for party in chosen),
        ]
        if all(self._try(name, work) for name, work in ways) and chosen:
            self._try("job", lambda: self._job(chosen, actor))
        return self._lines

    def _try(self, name: str, work: Callable[[], str]) -> bool:
        started = time.monotonic()
        line: dict[str, Any] = {"name": name, "passed": False, "seconds": 0.0, "message": ""}
        try:
            line["message"] = work()
            line["passed"] = True
        except Exception as error:
            known = unexpected(error)
            line |= {"message": _text(known), "code": known.code}
        line["seconds"] = round(time.monotonic() - started, 3)
        self._lines.append(line)
        return bool(line["passed"])

    def _write(self) -> str:
        meta, value = Meta(self._database), repr(time.time())
        meta.set(_MARK, value)
        if meta.get(_MARK) != value:
            raise NetworkError("ATL-NOD-032", "the database did not keep what was written")
        return f"{self._database.dialect}: written and read back"

    def _workers(self) -> str:
        facts = self._pool.facts()
        return f"{len(facts)} kept warm, {self._pool.free()} may run"

    def _ping(self, party: str) -> str:
        found = self._parties.ping(party)
        return f"version {found['version']} answers in {found['seconds'] * 1000:.1f} ms"

    def _job(self, parties: Sequence[str], actor: Actor) -> str:
        job = selftest_job(self._parties.identity.party, parties)
        options = {"reuse": False, "progress_seconds": _SECONDS}
        name = str(self._jobs.submit(job, options, actor, None, [_MARK], "")["id"])
        deadline = time.monotonic() + _SECONDS
        after, reported = 0, set[str]()
        while time.monotonic() < deadline:
            for event in self._jobs.events(name, after, 1.0):
                after = max(after, int(event["number"]))
            view = self._jobs.get(name)
            for step, entry in view["steps"].items():
                if entry["state"] == "success" and step not in reported:
                    reported.add(step)
                    seconds = float(entry["own"].get("seconds") or 0.0)
                    self._lines.append(
                        {"name": f"step {step}", "passed": True, "seconds": round(seconds, 3)}
                    )
            if view["state"] in ENDED:
                return self._verdict(name, view)
        self._jobs.stop(name, actor)
        raise NetworkError("ATL-NOD-032", f"the job {name} did not end: {view['reason']}")

    def _verdict(self, name: str, view: Mapping[str, Any]) -> str:
        if view["state"] != "success":
            raise NetworkError(
                "ATL-NOD-032",
                f"the job {name} is {view['state']}: {view['code']} at {view['party']}",
                hint=f"atoll job show {name}",
            )
        return f"{name}: {len(view['steps'])} steps with {len(view['parties'])} parties"


def selftest_job(guest: str, hosts: Sequence[str]) -> Job:
    """Return a job that touches every part: made-up tables, intersection, training, evaluation."""
    return parse_job(
        {
            "name": _MARK,
            "parties": {guest: "guest", **dict.fromkeys(hosts, "host")},
            "steps": {
                "synthetic": {"component": "synthetic"},
                "match": {"component": "psi", "inputs": {"table": "synthetic.table"}},
                "train": {
                    "component": "boosting",
                    "inputs": {"train": "match.table"},
                    "parameters": {"trees": 2, "depth": 2},
                },
                "score": {
                    "component": "prediction",
                    "inputs": {"model": "train.model", "table": "match.table"},
                },
                "judge": {"component": "evaluation", "inputs": {"scores": "score.scores"}},
            },
        }
    )


def _text(error: AtollError) -> str:
    return f"{error.message} (hint: {error.hint})" if error.hint else error.message
