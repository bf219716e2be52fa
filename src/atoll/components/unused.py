"""A report's lines about a table's columns that a model was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

from atoll.core.report import Report, TextPanel
from atoll.models.columns import listed


def unused_panels(names: Sequence[str], rows: str = "the table") -> tuple[TextPanel, ...]:
    """Return a panel that names the columns of ``rows`` that are left out; none without any."""
    if not names:
        return ()
    text = f"columns of {rows} that the model does not use: {listed(names)}"
    return (TextPanel(title="Unused columns", text=text),)


def unused_report(title: str, names: Sequence[str]) -> Report | None:
    """Return a report of such columns alone; None without any."""
    panels = unused_panels(names)
    return Report(title=title, panels=panels) if panels else None
