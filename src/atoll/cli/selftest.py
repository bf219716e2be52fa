"""``atoll selftest``: a small job over the installed nodes, as an installer runs it."""

from __future__ import annotations

import click

from atoll.cli import completing, lines
from atoll.cli.options import Session, connected


@click.command()
@click.option(
    "--with",
    "parties",
    multiple=True,
    help="a partner to take part",
    shell_complete=completing.parties,
)
@connected
def command(session: Session, parties: tuple[str, ...]) -> int:
    """Run a small job on this node, alone or with partners, and show per step what passed.

    Exit code 1 if anything failed.
    """
    from atoll.sdk.client import Client

    # A whole job takes longer than one answer usually does.
    with Client(target=session.client.target, timeout=session.timeout or 120.0) as client:
        found = client.node.selftest(parties)
    body = [
        (
            "passed" if step.passed else "FAILED",
            step.name,
            f"{step.seconds:.2f} s",
            lines.names(part for part in (step.code, step.message) if part),
        )
        for step in found.steps
    ]
    session.show(found, lines.rows(("", "step", "seconds", ""), body, "nothing was tried"))
    return 0 if found.passed else 1
