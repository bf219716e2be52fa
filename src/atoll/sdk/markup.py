"""Small HTML for notebooks: no scripts, no styles of others, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from atoll.core.report import (
    BarPanel,
    KeyValuePanel,
    LinePanel,
    Panel,
    Report,
    ScatterPanel,
    TablePanel,
    TextPanel,
)
from atoll.flow.api import views

_COLOURS = {
    "success": "#1a7f37",
    "failed": "#cf222e",
    "refused": "#cf222e",
    "cancelled": "#6e7781",
    "running": "#0969da",
}
_ROWS = 50
_WIDTH, _HEIGHT, _EDGE = 360, 180, 10
_LINES = ("#0969da", "#cf222e", "#1a7f37", "#8250df", "#9a6700")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; cells that are None stay empty."""
    top = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{_cell(cell)}</td>" for cell in row)
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return escape(text)


def state(name: str) -> str:
    """Return a state in its colour."""
    colour = _COLOURS.get(name, "#9a6700")
    return f"<b style='color:{colour}'>{escape(name)}</b>"


def moment(seconds: float | None) -> str:
    """Return a time as text in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else ""


def job(view: views.JobView) -> str:
    """Return a job: its state, why it waits or failed, and its steps."""
    lines = [
        f"<div><b>{escape(view.name)}</b> <code>{escape(view.id)}</code> {state(view.state)}"
        f"{_why(view)}</div>"
    ]
    rows = [(name, step.component, step.state, step.attempt) for name, step in view.steps.items()]
    if rows:
        lines.append(table(("step", "component", "state", "attempt"), rows))
    return "".join(lines)


def _why(view: views.JobView) -> str:
    parts = [part for part in (view.code, view.reason or view.message, view.party) if part]
    return f" – {escape(', '.join(parts))}" if parts else ""


def jobs(rows: Iterable[views.JobRow]) -> str:
    """Return a list of jobs."""
    cells = [(row.id, row.name, row.state, row.initiator, moment(row.created)) for row in rows]
    return table(("job", "name", "state", "initiator", "created (UTC)"), cells)


def report(found: Report) -> str:
    """Return a report, panel by panel."""
    return f"<h3>{escape(found.title)}</h3>" + "".join(_panel(panel) for panel in found.panels)


def _panel(panel: Panel) -> str:
    title = f"<h4>{escape(panel.title)}</h4>"
    if isinstance(panel, KeyValuePanel):
        return title + table(("", ""), panel.values.items())
    if isinstance(panel, TablePanel):
        return title + table(panel.columns, panel.rows[:_ROWS]) + _more(len(panel.rows))
    if isinstance(panel, BarPanel):
        pairs = list(zip(panel.labels, panel.values, strict=False))
        return title + table(("", panel.value_label), pairs[:_ROWS]) + _more(len(pairs))
    if isinstance(panel, LinePanel):
        return title + _curves(panel, joined=True)
    if isinstance(panel, ScatterPanel):
        return title + _curves(panel, joined=False)
    if isinstance(panel, TextPanel):
        return title + f"<p>{escape(panel.text)}</p>"
    # A kind that came after this client: its data are still worth seeing.
    return title + f"<pre>{escape(str(panel)[:4000])}</pre>"


def _more(count: int) -> str:
    return f"<div>… {count - _ROWS} more</div>" if count > _ROWS else ""


def _curves(panel: LinePanel | ScatterPanel, *, joined: bool) -> str:
    xs = [x for series in panel.series for x in series.x]
    ys = [y for series in panel.series for y in series.y]
    if not xs or not ys:
        return ""
    place = _scale(min(xs), max(xs), min(ys), max(ys))
    marks = []
    for series, colour in zip(panel.series, _LINES * (len(panel.series) // 5 + 1), strict=False):
        points = [place(x, y) for x, y in zip(series.x, series.y, strict=False)]
        if joined:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            marks.append(f"<polyline fill='none' stroke='{colour}' points='{path}'/>")
        else:
            marks += [
                f"<circle r='2' fill='{colour}' cx='{x:.1f}' cy='{y:.1f}'/>" for x, y in points
            ]
    names = ", ".join(
        f"<span style='color:{colour}'>{escape(series.name)}</span>"
        for series, colour in zip(panel.series, _LINES, strict=False)
    )
    box = f"viewBox='0 0 {_WIDTH} {_HEIGHT}' width='{_WIDTH}' height='{_HEIGHT}'"
    drawn = f"<svg xmlns='http://www.w3.org/2000/svg' {box}>{''.join(marks)}</svg>"
    spans = f"{min(xs):.4g} … {max(xs):.4g}, {min(ys):.4g} … {max(ys):.4g}"
    return f"{drawn}<div>{names} ({escape(panel.x_label)}, {escape(panel.y_label)}: {spans})</div>"


def _scale(left: float, right: float, low: float, high: float) -> Any:
    wide, tall = (right - left) or 1.0, (high - low) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _EDGE + (x - left) / wide * (_WIDTH - 2 * _EDGE),
            _HEIGHT - _EDGE - (y - low) / tall * (_HEIGHT - 2 * _EDGE),
        )

    return place


def outcomes(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what a federation's run left: each party's figures."""
    rows = [
        (party, name, value) for party, metrics in found.items() for name, value in metrics.items()
    ]
    return table(("party", "metric", "value"), rows)
