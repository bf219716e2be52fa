"""Reports as one static HTML page that needs nothing else: no script, font or network.

Everything that a report says is escaped, and the page forbids scripts by its own policy, since
titles and names come from other parties.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence

from atoll.board import charts
from atoll.board.markup import cell, element, escape
from atoll.board.style import STYLE
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
from atoll.table.sources.files import atomic_output

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_LONG = 22
_TABLE_ROWS = 1000


def render(reports: Report | Sequence[Report], *, title: str | None = None) -> str:
    """Return the page of one or several reports; ``title`` heads it (else the first's title)."""
    whole = [reports] if isinstance(reports, Report) else list(reports)
    head = title or (whole[0].title if whole else "Report")
    numbers = itertools.count(1)
    sections = [_section(report, at, head, numbers) for at, report in enumerate(whole, 1)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(head)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header><div><h1>{escape(head)}</h1>{_contents(whole)}</div></header>\n"
        f"<main>\n{''.join(sections)}</main>\n"
        "<footer>Made by Atoll. This page holds all it shows and loads nothing.</footer>\n"
        "</body>\n</html>\n"
    )


def write_html(
    reports: Report | Sequence[Report], path: str | os.PathLike[str], *, title: str | None = None
) -> None:
    """Write the page, whole or not at all. Errors: ATL-TAB-025 it cannot be written."""
    with atomic_output(path) as stream:
        stream.write(render(reports, title=title).encode())


def _contents(reports: Sequence[Report]) -> str:
    if len(reports) < 2:
        return ""
    links = "".join(
        f'<li><a href="#report-{at}">{escape(report.title)}</a></li>'
        for at, report in enumerate(reports, 1)
    )
    return f'<nav aria-label="Reports"><ul>{links}</ul></nav>'


def _section(report: Report, at: int, head: str, numbers: Iterator[int]) -> str:
    heading = "" if report.title == head else f"<h2>{escape(report.title)}</h2>"
    panels = "".join(_panel(panel, next(numbers)) for panel in report.panels)
    return f'<section id="report-{at}">{heading}<div class="grid">{panels}</div></section>\n'


def _panel(panel: Panel, number_of: int) -> str:
    match panel:
        case KeyValuePanel():
            return _card(panel, _values(panel), "wide")
        case TablePanel():
            small = len(panel.columns) <= 4 and len(panel.rows) <= 12
            return _card(panel, _table(panel.title, panel.columns, panel.rows), _span(small))
        case LinePanel() | ScatterPanel():
            figure = element("figure", charts.curves(panel, number_of))
            return _card(panel, charts.legend(panel) + figure, "")
        case BarPanel():
            return _card(panel, _bars(panel, number_of), "")
        case TextPanel():
            kind = "note warning wide" if panel.level == "warning" else "note wide"
            return _card(panel, element("p", escape(panel.text)), kind)


def _span(small: bool) -> str:
    return "small" if small else "wide"


def _card(panel: Panel, content: str, style: str) -> str:
    warning = isinstance(panel, TextPanel) and panel.level == "warning"
    title = ("Warning: " if warning else "") + panel.title
    help_text = element("p", escape(panel.help), class_="help") if panel.help else ""
    return element(
        "article", f"<h3>{escape(title)}</h3>{help_text}{content}", class_=f"card {style}".strip()
    )


def _values(panel: KeyValuePanel) -> str:
    pairs = []
    for key, value in panel.values.items():
        long = isinstance(value, str) and len(value) > _LONG
        whole = repr(value) if isinstance(value, float) else None
        term = f"<dt>{escape(key)}</dt>" + element("dd", cell(value), title=whole)
        pairs.append(element("div", term, class_="long" if long else None))
    return f"<dl>{''.join(pairs)}</dl>"


def _table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[float | int | str | None]],
) -> str:
    shown = rows[:_TABLE_ROWS]
    right = [_numeric([row[at] for row in shown if at < len(row)]) for at in range(len(columns))]
    head = "".join(
        element("th", escape(name), scope="col", class_="n" if right[at] else None)
        for at, name in enumerate(columns)
    )
    body = "".join(
        "<tr>"
        + "".join(
            element("td", cell(value), class_="n" if at < len(right) and right[at] else None)
            for at, value in enumerate(row)
        )
        + "</tr>"
        for row in shown
    )
    more = f"<p>The first {_TABLE_ROWS} of {len(rows)} rows.</p>" if len(rows) > len(shown) else ""
    grid = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return (
        element("div", grid, class_="scroll", role="region", aria_label=title, tabindex="0") + more
    )


def _numeric(values: Sequence[float | int | str | None]) -> bool:
    given = [value for value in values if value is not None]
    return bool(given) and not any(isinstance(value, str) for value in given)


def _bars(panel: BarPanel, number_of: int) -> str:
    figure = element("figure", charts.bars(panel, number_of))
    if len(panel.labels) <= charts.BARS:
        return figure
    rows = list(zip(panel.labels, panel.values, strict=False))
    names = ("name", panel.value_label or "value")
    return (
        f'{figure}<p class="help">The first {charts.BARS} of {len(rows)}.</p>'
        f"<details><summary>All values</summary>{_table(panel.title, names, rows)}</details>"
    )
