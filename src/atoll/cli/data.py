"""``atoll data``: tables, looked over before use, registered at the node, granted to partners."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atoll.cli import completing, lines
from atoll.cli.options import Session, confirm, connected, keyed, paged, sure
from atoll.core.errors import DataError, UserError

if TYPE_CHECKING:
    from atoll.flow.policy.grants import TableCaps

_name = click.argument("name", shell_complete=completing.tables)


@click.group()
def command() -> None:
    """Check tables, register them at the node, grant them to partners."""


@command.command()
@click.argument("file")
@click.option("--id", "id_column", default="id", help="the column with the row ids (id)")
@click.option("--label", help="the label's column, if there is one")
@click.option("--delimiter", default=",", help="of a CSV file (a comma)")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="problems shown (100)")
@click.option("--registered", is_flag=True, help="FILE is the name of a table at the node")
@connected
def check(
    session: Session,
    file: str,
    id_column: str,
    label: str | None,
    delimiter: str,
    limit: int,
    registered: bool,
) -> int:
    """Check a CSV, Parquet or Arrow FILE: structure, ids, numbers, missing values.

    Asks no node, unless --registered states that FILE is the name of a registered table. Shows
    every problem with row and hint, and each column in sum; exit code 9 if there are any.
    """
    if registered:
        view = session.client.data.check(file)
        session.show(view, lambda: lines.check(view))
        return 0 if view.ok else DataError.exit_code
    from atoll.flow.api import views
    from atoll.table.check import check_file

    report = check_file(Path(file), id_column, label, delimiter=delimiter, limit=limit)
    session.show(views.CheckView.model_validate(report.to_dict()), report.to_text)
    return 0 if report.ok else DataError.exit_code


@command.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "id_column", default="id", help="the column with the row ids (id)")
@click.option("--label", help="the label's column, if there is one")
@click.option("--description", default="", help="what the table is")
@click.option(
    "--in-place",
    is_flag=True,
    help="FILE lies on the node's machine, inside an allowed folder, and stays there",
)
@keyed
@connected
def register(
    session: Session,
    name: str,
    file: Path,
    id_column: str,
    label: str | None,
    description: str,
    in_place: bool,
    key: str | None,
) -> None:
    """Register FILE at the node as the table NAME, after it was checked.

    The file is sent to the node, which keeps a copy; with --in-place it lies there already, inside
    one of the folders that data.folders allows, and only its place is noted.
    """
    tables = session.client.data
    if in_place:
        view = tables.register(
            name, file.absolute(), id=id_column, label=label, description=description, key=key
        )
    else:
        view = tables.upload(name, file, id=id_column, label=label, description=description)
    session.show(view, lambda: lines.data(view))


@command.command(name="list")
@paged
@connected
def list_(session: Session, limit: int, after: str | None) -> None:
    """List registered tables."""
    page = session.client.data.list(limit=limit, after=after)
    body = [(row.name, row.rows, len(row.columns), row.label, row.owner) for row in page.items]
    head = ("name", "rows", "columns", "label", "owner")
    session.show(page, lines.rows(head, body, "no tables"))
    if page.next and not session.as_json:
        session.info(f"more: --after {page.next}")


@command.command()
@_name
@connected
def show(session: Session, name: str) -> None:
    """Show the facts of a table; no value of a row."""
    view = session.client.data.get(name)
    session.show(view, lambda: lines.data(view))


@command.command()
@_name
@click.option("--rows", type=click.IntRange(1, 1000), default=10, help="how many (10)")
@connected
def preview(session: Session, name: str, rows: int) -> None:
    """Print the first rows of a table; the node notes it in its audit log."""
    view = session.client.data.preview(name, rows=rows)
    session.show(view, lines.rows(view.columns, view.rows, "no rows"))


@command.command()
@_name
@click.option("--force", is_flag=True, help="even if a job or grant uses it")
@sure
@connected
def delete(session: Session, name: str, force: bool, yes: bool) -> None:
    """Forget a table; an uploaded file goes too."""
    confirm(f"Forget the table {name}?", yes)
    session.client.data.delete(name, force=force or None)
    session.show({"done": True, "what": f"forgot {name}"}, f"forgot {name}")


@command.command()
@_name
@click.option("--partner", multiple=True, required=True, help="who may use it; * for every partner")
@click.option("--component", multiple=True, required=True, help="for what; * for everything")
@click.option("--column", multiple=True, help="which columns (all)")
@click.option("--role", multiple=True, help="in which roles of the partner's jobs (all)")
@click.option("--runs", type=click.IntRange(0), help="how many runs for each partner")
@click.option("--psi-runs", type=click.IntRange(0), help="how many intersections")
@click.option("--tree-nodes", type=click.IntRange(0), help="how many tree nodes")
@click.option("--rows", type=click.IntRange(0), help="how many rows are scored or sampled")
@click.option("--minimum-group", type=click.IntRange(0), help="least rows behind a sum")
@click.option("--minimum-intersection", type=click.IntRange(0), help="least rows in common (20)")
@click.option("--until", help="the day on which it ends (YYYY-MM-DD, UTC)")
@click.option("--automatic", is_flag=True, help="approve covered jobs without asking a person")
@keyed
@connected
def grant(
    session: Session,
    name: str,
    partner: tuple[str, ...],
    component: tuple[str, ...],
    column: tuple[str, ...],
    role: tuple[str, ...],
    minimum_intersection: int | None,
    until: str | None,
    automatic: bool,
    key: str | None,
    **limits: int | None,
) -> None:
    """Let partners' jobs use the table NAME, on terms."""
    made = session.client.data.grant(
        name,
        partner,
        component,
        columns=column or None,
        roles=role or None,
        limits={limit: value for limit, value in limits.items() if value is not None} or None,
        minimum_intersection=minimum_intersection,
        automatic=automatic,
        expires=None if until is None else _day(until),
        key=key,
    )
    session.show(made, made.id)


def _day(text: str) -> float:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise UserError("ATL-CLI-006", "a day is written YYYY-MM-DD", place="--until") from error


@command.command()
@_name
@connected
def grants(session: Session, name: str) -> None:
    """List the standing grants over the table NAME."""
    found = session.client.data.grants(name)
    body = [
        (
            one.id,
            lines.names(one.partners),
            lines.names(one.components),
            lines.names(one.columns),
            "yes" if one.automatic else "no",
            lines.moment(one.expires),
            "revoked" if one.revoked else "",
        )
        for one in found.items
    ]
    head = ("grant", "partners", "components", "columns", "automatic", "until", "")
    session.show(found, lines.rows(head, body, "no grants"))


@command.command()
@_name
@click.option("--partner", default="*", help="for whom; * for every partner, each by itself (*)")
@click.option("--runs", type=click.IntRange(0), help="how many runs")
@click.option("--psi-runs", type=click.IntRange(0), help="how many intersections")
@click.option("--tree-nodes", type=click.IntRange(0), help="how many tree nodes")
@click.option("--opened-sums", type=click.IntRange(0), help="how many opened sums")
@click.option("--epsilon", type=click.FloatRange(0), help="how much differential privacy's ε")
@click.option("--rows", type=click.IntRange(0), help="how many rows are scored or sampled")
@click.option("--none", is_flag=True, help="no caps of this kind any more")
@connected
def limit(
    session: Session, name: str, partner: str, none: bool, **caps: int | float | None
) -> None:
    """Cap what partners learn of the table NAME over all jobs, granted, approved by hand or own.

    What is not named here is not capped any more.
    """
    chosen = {unit: value for unit, value in caps.items() if value is not None}
    if bool(chosen) == none:
        raise click.UsageError("name a cap, or --none")
    made = session.client.data.limit(name, chosen, partner=partner)
    session.show(made, _caps(made))


@command.command()
@_name
@connected
def limits(session: Session, name: str) -> None:
    """List the caps of the table NAME that bind with and without a grant."""
    found = session.client.data.limits(name)
    body = [
        (one.partner, _caps(one), one.changed_by, lines.moment(one.changed)) for one in found.items
    ]
    head = ("partner", "caps", "by", "changed (UTC)")
    session.show(found, lines.rows(head, body, "no caps"))


def _caps(one: TableCaps) -> str:
    held = one.caps.model_dump(exclude_none=True)
    return ", ".join(f"{unit} {value}" for unit, value in held.items()) or "no caps"


@command.command()
@click.argument("grant")
@sure
@connected
def revoke(session: Session, grant: str, yes: bool) -> None:
    """Withdraw a GRANT, for good; running jobs that rest on it are not stopped."""
    confirm(f"Withdraw the grant {grant}?", yes)
    session.client.data.revoke(grant)
    session.show({"done": True, "what": f"revoked {grant}"}, f"revoked {grant}")
