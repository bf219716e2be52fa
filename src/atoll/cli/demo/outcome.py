"""Puts what a finished demo left at both parties into one plain result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atoll.cli.demo.compare import Compared
from atoll.cli.demo.data import GUEST, HOST, Shares

PHASES = {
    "reader": "psi",
    "psi": "psi",
    "split": "train",
    "boosting": "train",
    "prediction": "evaluate",
    "evaluation": "evaluate",
}
AGREEMENT = "agreement"


@dataclass(frozen=True)
class Finished:
    """Where the job's outputs were saved, by party, and how long everything took in seconds."""

    folder: Path
    job: str
    seconds: float

    def outputs(self, party: str) -> Path:
        """Return the folder of a party's outputs."""
        return self.folder / party

    def plan(self) -> dict[str, Any]:
        """Return the plan that both signed."""
        found: dict[str, Any] = _json(self.outputs(GUEST) / "plan.json")
        return found

    def counted(self) -> dict[str, Any]:
        """Return the guest's seconds per step and its traffic."""
        found: dict[str, Any] = _json(self.outputs(GUEST) / "run.json")
        return found


def _json(path: Path) -> Any:
    value: Any = json.loads(path.read_text(encoding="utf-8"))
    return value


def result(finished: Finished, shares: Shares, compared: Compared, report: Path) -> dict[str, Any]:
    """Return everything that the demo tells, as ``--json`` prints it."""
    test, train = compared.test, compared.train
    any_test, any_train = test["federated"], train["federated"]
    return {
        "rows": {
            "guest": shares.guest.num_rows,
            "host": shares.host.num_rows,
            "common": any_test.rows + any_train.rows,
        },
        "columns": {"guest": len(shares.guest.columns), "host": len(shares.host.columns)},
        "auc": {name: entry.auc for name, entry in test.items()},
        "ks": {name: entry.ks for name, entry in test.items()},
        "auc_train": {name: entry.auc for name, entry in train.items()},
        "seconds": _seconds(finished),
        "bytes": _bytes(finished),
        "reveals": {
            "guest": learned(finished, HOST, GUEST),
            "host": learned(finished, GUEST, HOST),
        },
        "warnings": list(finished.plan()["warnings"]),
        "report": str(report),
    }


def _seconds(finished: Finished) -> dict[str, float]:
    found = dict.fromkeys(("psi", "train", "evaluate"), 0.0)
    for step, seconds in finished.counted()["seconds"].items():
        if step in PHASES:
            found[PHASES[step]] += seconds
    return {name: round(value, 3) for name, value in found.items()} | {
        "total": round(finished.seconds, 3)
    }


def _bytes(finished: Finished) -> dict[str, dict[str, int]]:
    found = {
        name: {"guest_to_host": 0, "host_to_guest": 0}
        for name in (AGREEMENT, "psi", "train", "evaluate")
    }
    for line in finished.counted()["traffic"]:
        phase = found[PHASES.get(line["step"], AGREEMENT)]
        phase["guest_to_host"] += line["bytes_sent"]
        phase["host_to_guest"] += line["bytes_received"]
    return found


def learned(finished: Finished, teller: str, learner: str) -> list[dict[str, Any]]:
    """Return what ``learner`` was told, from the ledger of the party that told it."""
    return [
        {"sender": teller}
        | {key: line[key] for key in ("step", "message", "field", "elements", "what")}
        for line in _json(finished.outputs(teller) / "reveals.json")
        if line["receiver"] == learner
    ]
