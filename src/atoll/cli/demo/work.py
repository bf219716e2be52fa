"""What the two organisations of the demo do, over ``atoll.sdk`` alone: anybody could write this.

``clients`` holds a client of each party's node; how the nodes run is no matter here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atoll.cli.demo.data import GUEST, HOST, LABEL
from atoll.cli.demo.progress import Display
from atoll.core.errors import AtollError
from atoll.sdk import Client, Job, Pipeline

TABLE = "people"
FILE = "file."
AGREEMENT = "agreement"
# Where the time and the bytes of a step are counted.
PHASES = {
    "reader": "psi",
    "psi": "psi",
    "split": "train",
    "boosting": "train",
    "prediction": "evaluate",
    "evaluation": "evaluate",
}
Clients = Mapping[str, Client]


def bring(clients: Clients, files: Mapping[str, Path]) -> None:
    """Register each party's table; the host lets the guest use its own for anything."""
    clients[GUEST].data.register(TABLE, str(files[GUEST]), id="id", label=LABEL)
    clients[HOST].data.register(TABLE, str(files[HOST]), id="id")
    allowed: Any = {"columns": ["*"], "components": ["*"], "roles": ["host"]}
    clients[HOST].data.grant(TABLE, partners=[GUEST], automatic=True, **allowed)


def pipeline(boosting: Mapping[str, Any], seed: int) -> Pipeline:
    """Return the job: intersect, hold out a fifth, train, predict, evaluate.

    Its ``seed`` makes every run give the same rows, trees and figures.
    """
    p = Pipeline("demo", guest=GUEST, host=HOST, seed=seed)
    rows = p.psi(p.reader(tables={GUEST: TABLE, HOST: TABLE}, label=LABEL))
    parts = p.split(rows, fraction=0.2)
    model = p.boosting(train=parts.train, **boosting)
    scores = p.prediction(model=model.model, table=parts.test)
    p.evaluation(scores=scores, train=model.scores)
    return p


def run(clients: Clients, job: Pipeline, shown: Display) -> Job:
    """Submit the job at the guest's node and follow it at both. Errors: the job's own, located."""
    submitted = clients[GUEST].jobs.submit(job)
    other = threading.Thread(target=_watch, args=(clients[HOST], submitted.id, shown), daemon=True)
    other.start()
    for event in submitted.stream():
        shown(GUEST, event)
    other.join(10.0)
    return submitted.wait().check()


def _watch(client: Client, job: str, shown: Display) -> None:
    try:
        for event in client.jobs.get(job).stream():
            shown(HOST, event)
    except AtollError:
        # The guest's side has the reason; this one is shown alone.
        return


def save(clients: Clients, job: str, folder: Path) -> None:
    """Save the files that the job left at each party as ``folder/PARTY/STEP/NAME``."""
    for party, client in clients.items():
        done = client.jobs.get(job)
        for entry in done.artifacts().items:
            if entry.kind == "file":
                target = folder / party / entry.step / entry.name.removeprefix(FILE)
                target.parent.mkdir(parents=True, exist_ok=True)
                done.download(entry.step, entry.name, target)


def figures(clients: Clients, job: Job, seconds: float) -> dict[str, Any]:
    """Return what the job cost and revealed, by phase and party; it took so many seconds."""
    return {
        "seconds": _seconds(job) | {"total": round(seconds, 3)},
        "bytes": _bytes(job),
        "reveals": {
            "guest": learned(clients[HOST], job.id, HOST, GUEST),
            "host": learned(clients[GUEST], job.id, GUEST, HOST),
        },
        "warnings": job.plan().plan["warnings"],
    }


def _seconds(job: Job) -> dict[str, float]:
    found = dict.fromkeys(("psi", "train", "evaluate"), 0.0)
    for step, entry in job.view.steps.items():
        if step in PHASES and entry.own is not None:
            found[PHASES[step]] += float(entry.own.get("seconds") or 0.0)  # type: ignore[arg-type]
    return {name: round(value, 3) for name, value in found.items()}


def _bytes(job: Job) -> dict[str, dict[str, int]]:
    found = {
        name: {"guest_to_host": 0, "host_to_guest": 0}
        for name in (AGREEMENT, "psi", "train", "evaluate")
    }
    for line in job.traffic().items:
        phase = found[PHASES.get(line.step, AGREEMENT)]
        phase["guest_to_host"] += line.bytes_sent
        phase["host_to_guest"] += line.bytes_received
    return found


def learned(client: Client, job: str, teller: str, learner: str) -> list[dict[str, Any]]:
    """Return what ``learner`` was sent in a job, from the ledger of the party that sent it."""
    return [
        {"sender": teller}
        | {key: line.body[key] for key in ("step", "message", "field", "elements", "what")}
        for line in client.ledger.all()
        if line.kind == "reveal" and isinstance(line.body, dict)
        if (line.body.get("run"), line.body["receiver"]) == (job, learner)
    ]
