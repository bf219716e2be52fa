"""Follows the demo's job at both nodes, and gathers what it left."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atoll.cli.demo.data import GUEST, HOST
from atoll.cli.demo.federation import PARTIES, Federation
from atoll.core.errors import AtollError
from atoll.jobs.definition import Job as Definition
from atoll.sdk import Job

Shown = Callable[[str, dict[str, Any]], None]
FILE = "file."


def run(made: Federation, definition: Definition, shown: Shown) -> str:
    """Submit the job at the guest's node and follow it to its end; return its id.

    Errors: the job's own, located.
    """
    with made.client(GUEST) as client:
        job = client.jobs.submit(definition)
        other = threading.Thread(target=_other, args=(made, job.id, shown), daemon=True)
        other.start()
        _follow(GUEST, job, shown)
        job.wait()
        other.join(10.0)
        job.check()
        return str(job.id)


def _other(made: Federation, job: str, shown: Shown) -> None:
    try:
        with made.client(HOST) as client:
            _follow(HOST, client.jobs.get(job), shown)
    except AtollError:
        # The guest's side says why; this one is shown for the eye alone.
        return


def _follow(party: str, job: Job, shown: Shown) -> None:
    """Turn a job's events into what the display takes."""
    begun: dict[str, float] = {}
    for event in job.stream():
        step, data = event.step or "", event.data
        if event.kind in ("phase", "progress"):
            shown(party, {"event": event.kind, "step": step, **data})
        elif event.kind == "step" and data.get("own") == "running":
            begun.setdefault(step, event.time)
        elif event.kind == "step" and data.get("own") == "success" and step in begun:
            seconds = event.time - begun.pop(step)
            shown(party, {"event": "step", "step": step, "seconds": seconds})
        elif event.kind == "state" and data.get("state") == "success":
            shown(party, {"event": "finished"})


def gather(made: Federation, name: str, folder: Path) -> None:
    """Save what the job left at each party below ``folder/PARTY``: reports, files, costs, plan."""
    for party in PARTIES:
        place = folder / party
        with made.client(party) as client:
            job = client.jobs.get(name)
            for step, report in job.reports().items():
                _write(place / step / "report.json", report.model_dump(mode="json"))
            for entry in job.artifacts().items:
                if entry.kind == "file":
                    (place / entry.step).mkdir(parents=True, exist_ok=True)
                    target = place / entry.step / entry.name.removeprefix(FILE)
                    job.download(entry.step, entry.name, target)
            _write(place / "plan.json", job.plan().plan)
            _write(place / "run.json", _costs(job))
            reveals = [
                {**line.body, "kind": line.kind}
                for line in client.ledger.all()
                if line.kind == "reveal" and isinstance(line.body, dict)
                if line.body.get("run") == name
            ]
            _write(place / "reveals.json", reveals)


def _costs(job: Job) -> dict[str, Any]:
    seconds = {
        step: float(entry.own.get("seconds") or 0.0)  # type: ignore[arg-type]
        for step, entry in job.view.steps.items()
        if entry.own is not None
    }
    traffic = [line.model_dump(mode="json") for line in job.traffic().items]
    return {"seconds": seconds, "traffic": traffic}


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
