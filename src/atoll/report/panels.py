"""Panels as HTML: escaped, since titles and names come from other parties."""

from __future__ import annotations

from collections.abc import Sequence

from atoll.core.report import (
    BarPanel,
    KeyValuePanel,
    LinePanel,
    Panel,
    ScatterPanel,
    TablePanel,
    TextPanel,
)
from atoll.report import charts
from atoll.report.markup import cell, element, escape

_LONG = 22
_TABLE_ROWS = 1000


def draw(panel: Panel, number_of: int) -> str:
    """Return a panel as a card; ``number_of`` makes ids unique where it is shown."""
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
