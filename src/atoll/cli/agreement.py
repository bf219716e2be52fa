"""``atoll agreement``: standing agreements, and scores of single rows under one."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atoll.cli import lines
from atoll.cli.job.common import finish, save_job, wait_option
from atoll.cli.model import split
from atoll.cli.options import Session, confirm, connected, keyed, paged, pairs, sure
from atoll.core.errors import UserError

if TYPE_CHECKING:
    from atoll.flow.api import views

_agreement = click.argument("agreement")


@click.group()
def command() -> None:
    """Propose, show, use and end standing agreements. AGREEMENT is written JOB.STEP.

    A standing agreement is agreed to once, as a job, and lets one party ask for a bounded number of
    rows without a further plan, until its last day.
    """


def _text(view: views.AgreementView) -> str:
    model = f"{view.model}:{view.version}" if view.model else None
    ended = f"{lines.moment(view.ended)} by {view.ended_by}" if view.ended else None
    return lines.facts(
        ("agreement", view.id),
        ("state", view.state),
        ("who may ask", view.party),
        ("model", model),
        *((f"columns of {party}", lines.names(names)) for party, names in view.columns.items()),
        ("today", _used(view.used_today, view.per_day, view.unit)),
        ("in all", _used(view.used, view.most, view.unit)),
        ("until", f"the end of {view.until} (UTC)"),
        ("since", lines.moment(view.created)),
        ("plan", view.plan_digest),
        ("ended", ended),
        ("reason", view.reason),
    )


def _used(used: int, most: int, unit: str) -> str:
    return f"{used:,} of {most:,} {unit}"


@command.command(name="list")
@click.option("--live", is_flag=True, help="only those that hold today")
@paged
@connected
def list_(session: Session, live: bool, limit: int, after: str | None) -> None:
    """List standing agreements, the newest first."""
    page = session.client.agreements.list(live=live, limit=limit, after=after)
    body = [
        (
            row.id,
            row.state,
            row.party,
            f"{row.model}:{row.version}" if row.model else "",
            _used(row.used_today, row.per_day, row.unit),
            _used(row.used, row.most, row.unit),
            row.until,
        )
        for row in page.items
    ]
    head = ("agreement", "state", "who may ask", "model", "today", "in all", "until")
    session.show(page, lines.rows(head, body, "no standing agreements"))
    if page.next and not session.as_json:
        session.info(f"more: --after {page.next}")


@command.command()
@_agreement
@connected
def show(session: Session, agreement: str) -> None:
    """Show AGREEMENT: its terms, and what is used of them at this node."""
    view = session.client.agreements.get(agreement)
    session.show(view, lambda: _text(view))


@command.command()
@_agreement
@click.option("--reason", default="", help="why; it stays at this node")
@sure
@keyed
@connected
def end(session: Session, agreement: str, reason: str, yes: bool, key: str | None) -> None:
    """End AGREEMENT at this node, at once and for good."""
    confirm(f"End the standing agreement {agreement}?", yes)
    view = session.client.agreements.end(agreement, reason, key=key)
    session.show(view, lambda: _text(view))


@command.command()
@_agreement
@click.argument("ids", nargs=-1)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="a CSV of rows with own columns: the ids and the other columns are taken from it",
)
@click.option("--id", "id_column", default="id", help="the file's column of ids (id)")
@click.option("--wait", type=click.FloatRange(1, 60), default=30.0, help="seconds to wait (30)")
@keyed
@connected
def score(
    session: Session,
    agreement: str,
    ids: tuple[str, ...],
    file: Path | None,
    id_column: str,
    wait: float,
    key: str | None,
) -> None:
    """Score the rows of these IDS under AGREEMENT, or those of a file.

    Each row is counted, also one that a partner does not have.
    """
    columns = None
    if (file is None) == (not ids):
        raise UserError("ATL-CLI-006", "name the ids, or a file of rows", place="IDS")
    if file is not None:
        ids, columns = _rows(file, id_column)
    found = session.client.agreements.score(agreement, ids, columns, wait=wait, key=key)
    body = [
        (id, "missing" if value is None else f"{value:.6g}")
        for id, value in zip(ids, found.scores, strict=True)
    ]
    session.show(found, lines.rows(("id", "score"), body, "no rows"))


def _rows(file: Path, id_column: str) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """Return ids and columns of a small CSV. Errors: ATL-CLI-006."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            head, *found = list(csv.reader(stream)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError("ATL-CLI-006", "the file cannot be read", place=str(file)) from error
    if id_column not in head or any(len(row) != len(head) for row in found):
        text = f"a CSV with a column {id_column!r}, as wide in each row, is needed"
        raise UserError("ATL-CLI-006", text, place=str(file))
    whole = dict(zip(head, zip(*found, strict=True) if found else [()] * len(head), strict=True))
    named = tuple(whole.pop(id_column))
    return named, {name: [_number(v, name) for v in values] for name, values in whole.items()}


def _number(text: str, column: str) -> float:
    try:
        return float(text) if text.strip() else math.nan
    except ValueError as error:
        raise UserError("ATL-CLI-006", "a value is no number", place=column) from error


@command.command()
@click.argument("model")
@click.option(
    "--table",
    multiple=True,
    required=True,
    help="PARTY=TABLE in which rows are looked up; the guest's may be left out",
)
@click.option("--column", multiple=True, help="PARTY=A,B,… columns to be used (all of its table)")
@click.option("--id", "id_column", default="id", help="the column of the row ids (id)")
@click.option("--per-day", type=click.IntRange(1), required=True, help="rows a day at most")
@click.option("--most", type=click.IntRange(1), required=True, help="rows in all at most")
@click.option("--until", required=True, help="the last day (YYYY-MM-DD, UTC)")
@click.option("--save", type=click.Path(path_type=Path), help="write the job here; do not submit")
@keyed
@wait_option
@connected
def propose(
    session: Session,
    model: str,
    table: tuple[str, ...],
    column: tuple[str, ...],
    id_column: str,
    per_day: int,
    most: int,
    until: str,
    save: Path | None,
    key: str | None,
    wait: bool,
) -> int:
    """Submit the job that proposes scores of single rows with MODEL (ID:VERSION).

    All parties of the model agree to it as to any job; when it has ended well, the agreement holds.
    """
    columns = {p: names.split(",") for p, names in pairs(column, "--column").items()}
    made = session.client.models.agreement_job(
        *split(model),
        pairs(table, "--table"),
        per_day=per_day,
        most=most,
        until=until,
        columns=columns,
        id=id_column,
    )
    if save is not None:
        return save_job(session, made, save)
    return finish(session, session.client.jobs.submit(made, key=key), wait)
