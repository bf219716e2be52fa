"""``atoll audit``: who did what on the node."""

from __future__ import annotations

import click

from atoll.cli import chains, lines
from atoll.cli.options import Session, connected, paged

WORDS = ("actor", "action", "target", "outcome", "detail")


@click.group()
def command() -> None:
    """Show and verify the node's audit log."""


@command.command()
@paged
@connected
def show(session: Session, limit: int, after: str | None) -> None:
    """Show who did what, the oldest first."""
    page = session.client.audit.list(limit=limit, after=after)
    body = [
        (row.number, lines.moment(row.time), row.actor, row.action, row.target, row.outcome)
        for row in page.items
    ]
    head = ("number", "time (UTC)", "who", "what", "of", "outcome")
    session.show(page, lines.rows(head, body, "nothing was done"))
    if page.next and not session.as_json:
        session.info(f"more: --after {page.next}")


@command.command()
@connected
def verify(session: Session) -> None:
    """Check that no line was changed, added in between or taken out; exit code 5 otherwise."""
    found = chains.verify(session.client.audit.all(limit=200), WORDS, "audit log")
    session.show(found, chains.summary(found))
