"""The API's answers as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from atoll.cli.console import amount, cut, table
from atoll.core.printable import clean
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

_ROWS = 40


def moment(seconds: float | None) -> str:
    """Return a time (seconds since 1970) in UTC."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else "–"
    except (OverflowError, ValueError, OSError):
        # A node may state any number.
        return "–"


def rows(head: Sequence[str], lines: Iterable[Sequence[Any]], empty: str) -> str:
    """Return a table, or what to print when it has no rows."""
    cells = [
        [clean("–" if cell is None or cell == "" else cell) for cell in line] for line in lines
    ]
    return table([[clean(name) for name in head], *cells]) if cells else empty


def facts(*pairs: tuple[str, object]) -> str:
    """Return named values, one a line; those that are None are left out."""
    known = [
        (clean(cut(name)), clean(value)) for name, value in pairs if value not in (None, "", (), {})
    ]
    width = max((len(name) for name, _ in known), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in known)


def names(values: Iterable[object]) -> str:
    """Return values with commas between them."""
    return ", ".join(str(value) for value in values)


def job(view: views.JobView) -> str:
    """Return a job: its state and why, its parties and steps."""
    parties = names(f"{party} ({role})" for party, role in view.parties.items())
    head = facts(
        ("job", f"{view.id}  {view.name}"),
        ("state", state(view)),
        ("parties", parties),
        ("initiator", view.initiator),
        ("owner", view.owner),
        ("plan", view.plan_digest),
        ("created", moment(view.created)),
        ("started", moment(view.started) if view.started else None),
        ("ended", moment(view.ended) if view.ended else None),
        ("moved", _moved(view)),
        ("runs", f"{view.spent_runs} spent on further attempts" if view.spent_runs else None),
        ("coins", _aborted(view)),
        ("tags", names(view.tags)),
        ("notes", view.notes),
        ("place", view.place),
        ("hint", view.hint),
    )
    return f"{head}\n\n{steps(view)}" if view.steps else head


def _aborted(view: views.JobView) -> str | None:
    count = view.aborted_tosses
    return f"{count} tosses broke off after the own value was opened" if count else None


def _moved(view: views.JobView) -> str | None:
    if not view.bytes_sent and not view.bytes_received:
        return None
    return f"{amount(view.bytes_sent)} sent, {amount(view.bytes_received)} received"


def state(view: views.JobRow) -> str:
    """Return a job's state with what it waits for or why it ended."""
    message = getattr(view, "message", None)
    party, phase = getattr(view, "party", None), getattr(view, "phase", None)
    parts = [view.code, message or view.reason]
    parts += [blamed(party, getattr(view, "stated_by", None)), f"phase {phase}" if phase else None]
    shown = names(part for part in parts if part)
    return clean(f"{view.state} ({shown})" if shown else view.state)


def blamed(party: str | None, stated_by: str | None) -> str | None:
    """Return whom an end names, and whose word that is where it is another party's."""
    named = f"party {party}" if party else None
    if stated_by is None or stated_by == party:
        return named
    return f"{stated_by} states: {named}" if named else f"by {stated_by}"


def steps(view: views.JobView) -> str:
    """Return a job's steps with the own and the peers' states."""
    order = [name for name in view.order if name in view.steps] or list(view.steps)
    lines = []
    for name in order:
        step = view.steps[name]
        lines.append(
            (name, step.component, step.state, step.attempt or "", own(step), peers(step.peers))
        )
    return rows(("step", "component", "state", "attempt", "here", "peers"), lines, "")


def own(step: views.StepView) -> str:
    """Return the own task's state, with the code of its failure."""
    shown = step.own or {}
    return " ".join(str(shown[name]) for name in ("state", "code") if shown.get(name))


def peers(shown: dict[str, Any]) -> str:
    """Return the states that the peers report of their tasks."""
    found = []
    for party, entry in sorted(shown.items()):
        value = entry.get("state") if isinstance(entry, dict) else entry
        found.append(f"{party} {value}")
    return names(found)


def jobs(page: views.JobPage) -> str:
    """Return a page of jobs."""
    head = ("job", "name", "state", "initiator", "created (UTC)", "reason")
    lines = [
        (row.id, row.name, row.state, row.initiator, moment(row.created), row.code or row.reason)
        for row in page.items
    ]
    return rows(head, lines, "no jobs")


def report(found: Report) -> str:
    """Return a report as text."""
    return "\n\n".join([clean(found.title), *(_panel(panel) for panel in found.panels)])


def _panel(panel: Panel) -> str:
    title = clean(panel.title)
    if isinstance(panel, KeyValuePanel):
        return f"{title}\n{facts(*((name, _figure(v)) for name, v in panel.values.items()))}"
    if isinstance(panel, TablePanel):
        shown = [[_figure(cell) for cell in line] for line in panel.rows[:_ROWS]]
        return f"{title}\n{rows(panel.columns, shown, 'no rows')}{_more(len(panel.rows))}"
    if isinstance(panel, BarPanel):
        lines = list(zip(panel.labels, map(_figure, panel.values), strict=False))
        body = rows(("", panel.value_label or "value"), lines[:_ROWS], "no bars")
        return f"{title}\n{body}{_more(len(lines))}"
    if isinstance(panel, TextPanel):
        return f"{title}\n{clean(panel.text)}"
    if isinstance(panel, LinePanel | ScatterPanel):
        curves = [
            (series.name, len(series.x), _figure(series.y[0]), _figure(series.y[-1]))
            for series in panel.series
            if series.y
        ]
        return f"{title}\n{rows(('curve', 'points', 'first', 'last'), curves, 'no curves')}"
    return f"{title}\n({panel.kind}: see it with atoll job report --html)"


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _more(count: int) -> str:
    return f"\n… {count - _ROWS} more" if count > _ROWS else ""


def data(view: views.DataView) -> str:
    """Return the facts of a table."""
    return facts(
        ("name", view.name),
        ("rows", view.rows),
        ("columns", names(view.columns)),
        ("label", view.label),
        ("id column", view.id_column),
        ("format", f"{view.format}, {amount(view.bytes)}"),
        ("digest", view.digest),
        ("owner", view.owner),
        ("registered", moment(view.created)),
        ("about", view.description),
    )


def check(view: views.CheckView) -> str:
    """Return what a look at a file found."""
    head = f"{clean(view.file)}: {view.format}, {view.rows:,} rows, {amount(view.bytes)}"
    columns = [
        (c.name, c.role, c.type, c.missing, f"{c.distinct}{'+' if c.many else ''}")
        for c in view.columns
    ]
    parts = [head, *(f"note: {clean(note)}" for note in view.notes)]
    parts += ["the file has changed since it was registered"] if view.changed else []
    parts.append(rows(("column", "role", "type", "missing", "distinct"), columns, ""))
    count = len(view.problems)
    parts.append(f"{count}{'' if view.complete else '+'} problems" if count else "no problems")
    parts += [_problem(problem) for problem in view.problems]
    return "\n".join(part for part in parts if part)


def _problem(problem: views.ProblemView) -> str:
    where = names(
        f"{name} {value}"
        for name, value in (
            ("row", problem.row),
            ("line", problem.line),
            ("column", problem.column),
        )
        if value is not None
    )
    hint = f" ({clean(problem.hint)})" if problem.hint else ""
    return f"  {problem.code} {clean(where)}: {clean(problem.message)}{hint}"
