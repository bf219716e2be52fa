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


def report(result: Mapping[str, Any]) -> Report:
    """Return the page's one part."""
    trained = result["algorithms"]
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
            series=tuple(_series(NAMES[n], found["curve"]) for n, found in trained.items()),
        ),
        TablePanel(
            title="What it took",
            columns=("algorithm", "accuracy", "loss", "seconds", "bytes sent", "bytes received"),
            help="bytes at the aggregator",
            rows=tuple(
                (
                    NAMES[name],
                    *(found[key] for key in ("accuracy", "loss", "seconds")),
                    *(found[key] for key in ("bytes_sent", "bytes_received")),
                )
                for name, found in trained.items()
            ),
        ),
        TablePanel(
            title="What the aggregator and the owners were sent",
            help="from the ledgers of the parties that sent it; values in all rounds",
            columns=("from", "to", "values", "what"),
            rows=tuple((e["from"], e["to"], e["values"], e["what"]) for e in result["reveals"]),
        ),
    ]
    panels += [
        TextPanel(title="Before you approve", text=text, level="warning")
        for text in result["warnings"]
    ]
    return Report(title="Atoll demo: four owners, one model", panels=tuple(panels))


def _series(name: str, curve: list[float]) -> Series:
    return Series(name=name, x=tuple(float(at) for at in range(len(curve))), y=tuple(curve))
