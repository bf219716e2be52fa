"""Jobs and figures as small tables for notebooks; reports are drawn by ``atoll.report``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from atoll.flow.api import views
from atoll.report.markup import escape

_COLOURS = {
    "success": "#1a7f37",
    "failed": "#cf222e",
    "refused": "#cf222e",
    "cancelled": "#6e7781",
    "running": "#0969da",
}


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
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else ""
    except (OverflowError, ValueError, OSError):
        # A node may state any number.
        return ""


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


def outcomes(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what a federation's run left: each party's figures."""
    rows = [
        (party, name, value) for party, metrics in found.items() for name, value in metrics.items()
    ]
    return table(("party", "metric", "value"), rows)
