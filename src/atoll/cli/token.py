"""``atoll token``: tokens of your own, for programs."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.cli import lines
from atoll.cli.options import Session, confirm, connected, keyed, paged, sure


@click.group()
def command() -> None:
    """Make, list and revoke your tokens."""


@command.command()
@click.argument("name")
@click.option("--scope", multiple=True, help="a permission that it has (all of yours)")
@click.option("--days", type=click.FloatRange(0, 3650, min_open=True), help="how long it holds")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="write the secret into this new file, readable by you alone",
)
@keyed
@connected
def new(
    session: Session,
    name: str,
    scope: tuple[str, ...],
    days: float | None,
    output: Path | None,
    key: str | None,
) -> None:
    """Make a token NAME; its secret is shown once."""
    made = session.client.tokens.new(name, scopes=scope or None, days=days, key=key)
    if output is None:
        session.show(made, made.token)
    else:
        from atoll.channel.identity.files import SECRET, write_atomic

        write_atomic(output, f"{made.token}\n".encode(), SECRET)
        session.show(made.model_copy(update={"token": ""}), str(output))
    session.info(f"token {made.id} holds until {lines.moment(made.expires)} UTC")


@command.command(name="list")
@paged
@connected
def list_(session: Session, limit: int, after: str | None) -> None:
    """List your tokens and sessions."""
    page = session.client.tokens.list(limit=limit, after=after)
    body = [
        (one.id, one.name, lines.names(one.scopes or ()), lines.moment(one.expires))
        for one in page.items
    ]
    session.show(page, lines.rows(("token", "name", "scopes", "until"), body, "no tokens"))


@command.command()
@click.argument("token")
@sure
@connected
def revoke(session: Session, token: str, yes: bool) -> None:
    """Withdraw the token of this id."""
    confirm(f"Withdraw the token {token}?", yes)
    session.client.tokens.revoke(token)
    session.show({"done": True, "what": f"revoked {token}"}, f"revoked {token}")
