"""The demo's parties on disk: folders, keys, trust, tables, and the job that both hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atoll.channel.identity import export_ca, init_party, trust
from atoll.cli.demo.data import GUEST, HOST, LABEL, Shares
from atoll.jobs.definition import Job, parse_job
from atoll.table import write_csv

TABLE = "people"


def make_job(boosting: dict[str, Any], seed: int) -> Job:
    """Return the main job: intersect, hold out, train, predict, evaluate."""
    return parse_job(
        {
            "name": "demo",
            "parties": {GUEST: "guest", HOST: "host"},
            "steps": {
                "reader": {
                    "component": "reader",
                    "parameters": {"tables": {GUEST: TABLE, HOST: TABLE}, "label": LABEL},
                },
                "psi": {"component": "psi", "inputs": {"table": "reader.table"}},
                "split": {
                    "component": "split",
                    "inputs": {"table": "psi.table"},
                    "parameters": {"fraction": 0.2, "seed": seed},
                },
                "boosting": {
                    "component": "boosting",
                    "inputs": {"train": "split.train"},
                    "parameters": boosting,
                },
                "prediction": {
                    "component": "prediction",
                    "inputs": {"model": "boosting.model", "table": "split.test"},
                },
                "evaluation": {
                    "component": "evaluation",
                    "inputs": {"scores": "prediction.scores", "train": "boosting.scores"},
                },
            },
        }
    )


def prepare(folder: Path, shares: Shares, job: Job) -> None:
    """Make both parties' folders: own keys, the other's authority, own table, the job."""
    for party, table in ((GUEST, shares.guest), (HOST, shares.host)):
        place = folder / party
        init_party(place, party)
        (place / "data").mkdir()
        write_csv(table, place / "data" / f"{TABLE}.csv")
        text = json.dumps(job.model_dump(mode="json"), indent=2)
        (place / "job.json").write_text(text + "\n", encoding="utf-8")
    trust(folder / GUEST, HOST, export_ca(folder / HOST))
    trust(folder / HOST, GUEST, export_ca(folder / GUEST))


def specify(folder: Path, party: str, job: Job) -> Path:
    """Write what a worker is told and return the file; the host listens, the guest dials."""
    dials = party == GUEST
    told = {
        "folder": str(folder / party),
        "job": job.model_dump(mode="json"),
        "listen": None if dials else "127.0.0.1:0",
        "ask_peers": dials,
        "attached": True,
    }
    path = folder / party / "worker.json"
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return path
