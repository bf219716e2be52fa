"""``atoll ledger``: what a party agreed to and revealed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from atoll.cli.talk import give, give_json, say, table
from atoll.flow.ledger import Ledger
from atoll.jobs.errors import NotFoundError

_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="the party's folder"
)


@click.group()
def command() -> None:
    """Show and verify what a party has agreed to and revealed."""


def _lines(folder: Path) -> list[dict[str, Any]]:
    ledger = Ledger(folder)
    if not ledger.path.exists():
        raise NotFoundError("ATL-JOB-010", "this folder has no ledger", place=str(folder))
    return list(ledger.entries())


@command.command()
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="one JSON list on standard output")
def show(folder: Path, as_json: bool) -> None:
    """Show who approved what, and every field that was revealed to whom, run by run."""
    lines = _lines(folder)
    if as_json:
        give_json(lines)
        return
    for line in (line for line in lines if line["kind"] == "approval"):
        moment = datetime.fromtimestamp(line["expires"], UTC)
        give(
            f"{line['approver']} ({line['role']}) approved plan {line['plan'][:16]}… "
            f"for {line['runs']} run(s) until {moment:%Y-%m-%d %H:%M} UTC"
        )
    rows = [("run", "step", "to", "values", "what")]
    rows += [
        (
            line.get("run") or "–",
            line["step"],
            line["receiver"],
            str(line["elements"]),
            line["what"],
        )
        for line in lines
        if line["kind"] == "reveal"
    ]
    give(table(rows))


@command.command()
@_FOLDER
def verify(folder: Path) -> None:
    """Check that no line was changed, added in between or cut off."""
    say(f"{len(_lines(folder))} lines, unbroken")
