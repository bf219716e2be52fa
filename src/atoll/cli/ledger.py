"""``atoll ledger``: what was agreed to and revealed."""

from __future__ import annotations

from typing import Any

import click

from atoll.cli import chains, lines
from atoll.cli.options import Session, connected, paged

WORDS = ("kind", "body")


@click.group()
def command() -> None:
    """Show and verify what was agreed to and revealed."""


@command.command()
@paged
@connected
def show(session: Session, limit: int, after: str | None) -> None:
    """Show who approved what, and every field that was revealed to whom."""
    page = session.client.ledger.list(limit=limit, after=after)
    body = [(row.number, lines.moment(row.time), row.kind, _about(row.body)) for row in page.items]
    session.show(page, lines.rows(("number", "time (UTC)", "kind", "what"), body, "no lines"))
    if page.next and not session.as_json:
        session.info(f"more: --after {page.next}")


_FIELDS = (
    *("step", "sender", "receiver", "partner", "approver", "elements", "units", "count", "what"),
    "table",
)


def _about(body: Any) -> str:
    """Return the words of a line that people want first, then the rest that is short."""
    if not isinstance(body, dict):
        return str(body)
    first = [name for name in _FIELDS if body.get(name) not in (None, "")]
    rest = [
        name
        for name, value in body.items()
        if name not in first and isinstance(value, str | int | float) and len(str(value)) < 40
    ]
    shown = [f"{name} {body[name]}" for name in [*first, *rest]]
    counts = body.get("counts")
    if isinstance(counts, dict):
        shown[len(first) : len(first)] = [f"{name} {value}" for name, value in counts.items()]
    return ", ".join(shown)


@command.command()
@connected
def verify(session: Session) -> None:
    """Check that no line was changed, added in between or cut off; exit code 5 otherwise."""
    whole = chains.verify(session.client.ledger.all(limit=200), WORDS, "ledger")
    session.show(whole, chains.summary(whole))
