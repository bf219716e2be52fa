"""Reports as one static HTML page that needs nothing else: no script, font or network.

Everything that a report states is escaped, and the page forbids scripts by its own policy, since
titles and names come from other parties.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence

from atoll.core.files import atomic_output
from atoll.core.report import Report
from atoll.report.markup import escape
from atoll.report.panels import draw
from atoll.report.style import PAGE, STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


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
        f"<title>{escape(head)}</title>\n<style>{STYLE}\n{PAGE}</style>\n</head>\n"
        '<body class="atoll">\n'
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
    panels = "".join(draw(panel, next(numbers)) for panel in report.panels)
    return f'<section id="report-{at}">{heading}<div class="grid">{panels}</div></section>\n'
