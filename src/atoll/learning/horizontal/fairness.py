"""A report on how evenly models serve the clients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from atoll.core.report import BarPanel, LinePanel, Panel, Report, Series, TablePanel, TextPanel
from atoll.learning.horizontal.metrics import LEVELS, ClientMetrics, Figure

_BINS, _POINTS = 20, 200


def fairness_report(
    models: Mapping[str, ClientMetrics], figure: Figure = "loss", title: str = "Fairness"
) -> Report:
    """Compare models by how one figure spreads over their clients.

    Panels: a table with means, variance, quantiles and the worst tenth; each model's figure over
    the share of clients; a histogram of clients by figure for each model.
    """
    panels: list[Panel] = [_table(models, figure), _curves(models, figure)]
    panels += [_histogram(name, metrics, figure) for name, metrics in models.items()]
    return Report(title=title, panels=tuple(panels))


def _table(models: Mapping[str, ClientMetrics], figure: Figure) -> TablePanel:
    levels = tuple(f"{level:.0%} quantile" for level in LEVELS)
    means = ("mean by rows", "mean by clients", "variance")
    columns = ("model", "clients", *means, *levels, "worst tenth")
    rows = []
    for name, metrics in models.items():
        s = metrics.spread(figure)
        figures = (s.mean, s.even_mean, s.variance, *s.quantiles, s.worst)
        rows.append((name, s.clients, *(None if math.isnan(v) else v for v in figures)))
    return TablePanel(title=f"{figure} over clients", columns=columns, rows=tuple(rows))


def _curves(models: Mapping[str, ClientMetrics], figure: Figure) -> LinePanel:
    series = []
    for name, metrics in models.items():
        values = metrics.values(figure)
        values = np.sort(values[~np.isnan(values)])
        shares = np.linspace(0, 1, min(_POINTS, len(values)))
        at = np.quantile(values, shares) if len(values) else values
        series.append(Series(name=name, x=tuple(shares.tolist()), y=tuple(at.tolist())))
    return LinePanel(
        title=f"{figure} by share of clients",
        x_label="share of clients with at most this figure",
        y_label=figure,
        series=tuple(series),
    )


def _histogram(name: str, metrics: ClientMetrics, figure: Figure) -> Panel:
    values = metrics.values(figure)
    values = values[~np.isnan(values)]
    if not len(values):
        return TextPanel(title=name, text=f"No client has this figure: {figure}.", level="warning")
    counts, edges = np.histogram(values, _BINS)
    labels = tuple(f"{edge:.3g}" for edge in edges[:-1].tolist())
    return BarPanel(
        title=f"{name}: clients by {figure}",
        help="a label is the lower end of its bin",
        labels=labels,
        values=tuple(map(float, counts.tolist())),
        value_label="clients",
    )
