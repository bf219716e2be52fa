"""The report of ``atoll demo --horizontal``: who holds what, curves, cost, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.core.report import (
    KeyValuePanel,
    LinePanel,
    Panel,
    Report,
    Series,
    TablePanel,
    TextPanel,
)

NAMES = {"fedavg": "FedAvg", "scaffold": "SCAFFOLD"}
PRIVATE_NAME = "FedSGD, with privacy"
_PRIVACY = (
    "In the third training each row's gradient is clipped, and each owner adds a share of noise "
    "under the mask. Whatever the aggregator makes of the sums, also together with one owner, it "
    "can hardly find out whether a row was among them: ε bounds by how much the row changes the "
    "odds of anything that is seen, e^ε times, but for a chance of δ. Each round adds to ε, and "
    "so does each further training on the same rows; the owners' ledgers add it up, and a grant "
    "can cap it. The two trainings before it have no ε, and opened sums of these rows without "
    "noise: they are here to compare with. No accuracy leaves the owners' nodes: the curve is put "
    "together from their own reports, which this demo can read and no party can."
)


def report(result: Mapping[str, Any]) -> Report:
    """Return the page's one part."""
    trained = trainings(result)
    panels: list[Panel] = [
        KeyValuePanel(title="Data", values={"table": "digits (scikit-learn)", **result["data"]}),
        TablePanel(
            title="Rows of each digit at each owner",
            help="each owner has mostly some of the digits: the hard case of horizontal learning",
            columns=("owner", *map(str, range(10))),
            rows=tuple((owner, *counts) for owner, counts in result["classes"].items()),
        ),
        LinePanel(
            title="Accuracy on all owners' held-out rows",
            x_label="round",
            y_label="accuracy",
            series=tuple(_series(name, found["curve"]) for name, found in trained.items()),
        ),
        TablePanel(
            title="What it took",
            columns=("algorithm", "accuracy", "loss", "seconds", "bytes sent", "bytes received"),
            help="bytes at the aggregator",
            rows=tuple(
                (
                    name,
                    *(found[key] for key in ("accuracy", "loss", "seconds")),
                    *(found[key] for key in ("bytes_sent", "bytes_received")),
                )
                for name, found in trained.items()
            ),
        ),
        *_spent(result["privacy"]),
        TablePanel(
            title="What the aggregator and the owners were sent",
            help="in SCAFFOLD's training, from the ledgers of the parties that sent it; values in "
            "all rounds",
            columns=("from", "to", "values", "what"),
            rows=tuple((e["from"], e["to"], e["values"], e["what"]) for e in result["reveals"]),
        ),
    ]
    panels += [
        TextPanel(title=title, text=text, level="warning")
        for title, texts in (
            ("Before you approve", result["warnings"]),
            ("Before you approve, with privacy", result["privacy"]["warnings"]),
        )
        for text in texts
    ]
    return Report(title="Atoll demo: four owners, one model", panels=tuple(panels))


def trainings(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the figures of each training by its name for people."""
    named = {NAMES[name]: found for name, found in result["algorithms"].items()}
    return {**named, PRIVATE_NAME: result["privacy"]}


def _spent(private: Mapping[str, Any]) -> list[Panel]:
    """Return what the training with privacy cost, and what that means."""
    lines = private["epsilon"].items()
    return [
        LinePanel(
            title=f"ε spent of each row, at δ = {private['delta']:g}",
            x_label="round",
            y_label="ε",
            series=tuple(
                Series(
                    name=f"against the {name}",
                    x=tuple(float(at + 1) for at in range(len(line))),
                    y=tuple(line),
                )
                for name, line in lines
            ),
        ),
        TextPanel(title="What ε means here", text=_PRIVACY),
    ]


def _series(name: str, curve: list[float]) -> Series:
    return Series(name=name, x=tuple(float(at) for at in range(len(curve))), y=tuple(curve))
