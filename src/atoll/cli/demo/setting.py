"""The demo's job."""

from __future__ import annotations

from typing import Any

from atoll.cli.demo.data import GUEST, HOST, LABEL
from atoll.cli.demo.federation import TABLE
from atoll.jobs.definition import Job, parse_job


def make_job(boosting: dict[str, Any], seed: int) -> Job:
    """Return the main job: intersect, hold out, train, predict, evaluate.

    Its ``seed`` makes every run give the same rows, trees and figures.
    """
    return parse_job(
        {
            "name": "demo",
            "seed": seed,
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
                    "parameters": {"fraction": 0.2},
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
