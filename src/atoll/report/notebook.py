"""A report for a notebook: the panels of the page, with a style that touches nothing else."""

from __future__ import annotations

import itertools
import zlib

from atoll.core.report import Report
from atoll.report.markup import element, escape
from atoll.report.panels import draw
from atoll.report.style import STYLE


def render(report: Report) -> str:
    """Return a report as HTML to be put anywhere; it holds no script."""
    # Ids of charts must not meet those of another cell.
    numbers = itertools.count(zlib.crc32(report.model_dump_json().encode()))
    panels = "".join(draw(panel, next(numbers)) for panel in report.panels)
    head = f"<style>{STYLE}</style><h2>{escape(report.title)}</h2>"
    return element("section", f'{head}<div class="grid">{panels}</div>', class_="atoll")
