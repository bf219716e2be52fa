"""``atoll ledger``: what was agreed to and revealed, at the node or in a folder without one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from atoll.cli import chains, lines
from atoll.cli.options import Session, connected, paged
from atoll.cli.talk import table
from atoll.jobs.errors import NotFoundError

WORDS = ("kind", "body")


@click.group()
def command() -> None:
    """Show and verify what was agreed to and revealed.

    With --folder of a party that runs jobs by hand, its file of a ledger is read, and no node is
    asked.
    """


def _by_hand(session: Session) -> Path | None:
    """Return the folder if it is one without a node, where jobs are run by hand."""
    folder = session.folder
    if folder is None or (folder / "atoll.toml").exists() or (folder / "atoll.db").exists():
        return None
    return folder


def _file_lines(folder: Path) -> list[dict[str, Any]]:
    from atoll.flow.ledger import Ledger

    ledger = Ledger(folder)
    if not ledger.path.exists():
        raise NotFoundError("ATL-JOB-010", "this folder has no ledger", place=str(folder))
    return list(ledger.entries())


@command.command()
@paged
@connected
def show(session: Session, limit: int, after: str | None) -> None:
    """Show who approved what, and every field that was revealed to whom."""
    folder = _by_hand(session)
    if folder is not None:
        _show_file(session, _file_lines(folder))
        return
    page = session.client.ledger.list(limit=limit, after=after)
    body = [(row.number, lines.moment(row.time), row.kind, _about(row.body)) for row in page.items]
    session.show(page, lines.rows(("number", "time (UTC)", "kind", "what"), body, "no lines"))
    if page.next and not session.as_json:
        session.say(f"more: --after {page.next}")


_TOLD = (
    *("step", "sender", "receiver", "partner", "approver", "elements", "units", "count", "what"),
    "table",
)


def _about(body: Any) -> str:
    """Return the words of a line that people want first, then the rest that is short."""
    if not isinstance(body, dict):
        return str(body)
    first = [name for name in _TOLD if body.get(name) not in (None, "")]
    rest = [
        name
        for name, value in body.items()
        if name not in first and isinstance(value, str | int | float) and len(str(value)) < 40
    ]
    told = [f"{name} {body[name]}" for name in [*first, *rest]]
    counts = body.get("counts")
    if isinstance(counts, dict):
        told[len(first) : len(first)] = [f"{name} {value}" for name, value in counts.items()]
    return ", ".join(told)


def _show_file(session: Session, found: list[dict[str, Any]]) -> None:
    parts = []
    for line in (line for line in found if line["kind"] == "approval"):
        moment = datetime.fromtimestamp(line["expires"], UTC)
        parts.append(
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
        for line in found
        if line["kind"] == "reveal"
    ]
    session.show(found, "\n".join([*parts, table(rows)]))


@command.command()
@connected
def verify(session: Session) -> None:
    """Check that no line was changed, added in between or cut off; exit code 5 otherwise."""
    folder = _by_hand(session)
    if folder is not None:
        found = _file_lines(folder)
        whole = {"lines": len(found), "whole": True, "head": found[-1]["hash"] if found else ""}
    else:
        whole = chains.verify(session.client.ledger.all(limit=200), WORDS, "ledger")
    session.show(whole, chains.told(whole))
