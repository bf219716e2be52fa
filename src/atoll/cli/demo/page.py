"""The demo's report: one HTML page with the curves of all three models."""

from __future__ import annotations

from typing import Any

from atoll.cli.demo.compare import Compared
from atoll.core.report import (
    BarPanel,
    KeyValuePanel,
    LinePanel,
    Panel,
    Report,
    Series,
    TablePanel,
    TextPanel,
)
from atoll.learning.evaluation import BinaryEvaluation

_NAMES = {
    "guest": "guest alone",
    "federated": "federated",
    "centralised": "centralised (XGBoost on the joined table)",
}
POINTS = 400
BARS = 15


def reports(
    result: dict[str, Any], compared: Compared, trained: Report, about: str
) -> list[Report]:
    """Return the pages' parts: the result, then what was revealed."""
    return [_main(result, compared, trained, about), _reveals(result)]


def _main(result: dict[str, Any], compared: Compared, trained: Report, about: str) -> Report:
    rows, columns = result["rows"], result["columns"]
    panels: list[Panel] = [
        KeyValuePanel(
            title="Data",
            values={
                "table": about,
                "rows of the guest": rows["guest"],
                "rows of the host": rows["host"],
                "rows in common": rows["common"],
                "columns of the guest": columns["guest"],
                "columns of the host": columns["host"],
            },
        ),
        TablePanel(
            title="Three models",
            help="held-out rows, and the training rows; same settings, bins and starting point",
            columns=("model", "AUC", "KS", "AUC in training"),
            rows=tuple(
                (text, result["auc"][name], result["ks"][name], result["auc_train"][name])
                for name, text in _NAMES.items()
            ),
        ),
        _costs(result),
        _roc(compared),
        _ks(compared),
        _importance(trained),
    ]
    panels += [
        TextPanel(title="Before you approve", text=text, level="warning")
        for text in result["warnings"]
    ]
    return Report(title="Atoll demo: two parties, one model", panels=tuple(panels))


def _roc(compared: Compared) -> LinePanel:
    series = [_curve(_NAMES[name], *entry.curves.roc()) for name, entry in compared.test.items()]
    return LinePanel(
        title="ROC curve",
        x_label="false positive rate",
        y_label="true positive rate",
        series=(*series, Series(name="chance", x=(0.0, 1.0), y=(0.0, 1.0))),
    )


def _ks(compared: Compared) -> LinePanel:
    def distance(entry: BinaryEvaluation) -> tuple[Any, Any]:
        curves = entry.curves
        share, _ = curves.gain()
        return share, curves.true_positive_rate - curves.false_positive_rate

    return LinePanel(
        title="KS curve",
        help="KS is the highest point of each curve",
        x_label="share of rows, highest scores first",
        y_label="share of label 1 less share of label 0",
        series=tuple(_curve(_NAMES[n], *distance(e)) for n, e in compared.test.items()),
    )


def _curve(name: str, x: Any, y: Any) -> Series:
    # Even steps suffice for a picture; the figures come from all points.
    step = max(1, len(x) // POINTS)
    keep = sorted({*range(0, len(x), step), len(x) - 1, int(y.argmax())})
    return Series(name=name, x=tuple(x[keep].tolist()), y=tuple(y[keep].tolist()))


def _importance(trained: Report) -> BarPanel:
    panel = next(panel for panel in trained.panels if isinstance(panel, BarPanel))
    first = {"labels": panel.labels[:BARS], "values": panel.values[:BARS]}
    return panel.model_copy(update=first)


def _costs(result: dict[str, Any]) -> TablePanel:
    return TablePanel(
        title="Cost by phase",
        columns=("phase", "seconds", "bytes guest → host", "bytes host → guest"),
        rows=tuple(
            (name, result["seconds"].get(name), moved["guest_to_host"], moved["host_to_guest"])
            for name, moved in result["bytes"].items()
        ),
    )


def _reveals(result: dict[str, Any]) -> Report:
    panels = [
        TablePanel(
            title=f"What the {party} learned",
            help="from the ledger of the party that revealed it",
            columns=("step", "from", "elements", "what"),
            rows=tuple((ln["step"], ln["sender"], ln["elements"], ln["what"]) for ln in lines),
        )
        for party, lines in result["reveals"].items()
    ]
    return Report(title="What was revealed", panels=tuple(panels))
