"""``atoll model``: this party's parts of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atoll.cli import completing, lines
from atoll.cli.job.common import finish, save_job, wait_option
from atoll.cli.options import Session, connected, keyed, paged, pairs
from atoll.core.errors import UserError

if TYPE_CHECKING:
    from atoll.flow.api import views

_model = click.argument("model", shell_complete=completing.models)
_STAGES = ("candidate", "published", "archived")


@click.group()
def command() -> None:
    """Show, publish, bind, export and use models. MODEL is written ID:VERSION."""


def split(model: str) -> tuple[str, int]:
    """Return id and version. Errors: ATL-CLI-006."""
    name, mark, version = model.rpartition(":")
    if not mark or not name or not (version.isascii() and version.isdigit()):
        raise UserError("ATL-CLI-006", "a model is written ID:VERSION", place=model)
    return name, int(version)


def _text(view: views.ModelView) -> str:
    return lines.facts(
        ("model", f"{view.id}:{view.version}"),
        ("stage", view.stage),
        ("kind", view.kind),
        ("role", view.role),
        ("job", f"{view.job} step {view.step}"),
        ("digest", view.digest),
        ("parameters", view.parameters_digest),
        ("made", lines.moment(view.created)),
    )


@command.command(name="list")
@click.option("--stage", type=click.Choice(_STAGES), help="only models of this stage")
@paged
@connected
def list_(session: Session, stage: str | None, limit: int, after: str | None) -> None:
    """List models, the newest first."""
    page = session.client.models.list(stage=stage, limit=limit, after=after)
    body = [
        (f"{row.id}:{row.version}", row.kind, row.stage, row.role, row.job) for row in page.items
    ]
    session.show(page, lines.rows(("model", "kind", "stage", "role", "job"), body, "no models"))
    if page.next and not session.as_json:
        session.info(f"more: --after {page.next}")


@command.command()
@_model
@connected
def show(session: Session, model: str) -> None:
    """Show MODEL: stage, and where this party's part comes from."""
    view = session.client.models.get(*split(model))
    session.show(view, lambda: _text(view))


@command.command()
@_model
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="draw it on a page that loads nothing",
)
@connected
def card(session: Session, model: str, html: Path | None) -> None:
    """Show what this party's part of MODEL holds: size, columns, importance."""
    found = session.client.models.card(*split(model))
    if html is not None:
        from atoll.report.page import write_html

        write_html([found], html)
        session.info(f"drawn: {html}")
    session.show(found, str(html) if html is not None else lines.report(found))


@command.command()
@_model
@click.argument("stage", type=click.Choice(_STAGES))
@keyed
@connected
def stage(session: Session, model: str, stage: str, key: str | None) -> None:
    """Bring MODEL to a STAGE."""
    view = session.client.models.stage(*split(model), stage, key=key)
    session.show(view, lambda: _text(view))


@command.command()
@_model
@keyed
@connected
def publish(session: Session, model: str, key: str | None) -> None:
    """Publish MODEL, so that it may stand behind a service."""
    view = session.client.models.stage(*split(model), "published", key=key)
    session.show(view, lambda: _text(view))


@command.command()
@_model
@click.argument("service")
@keyed
@connected
def bind(session: Session, model: str, service: str, key: str | None) -> None:
    """Put the published MODEL behind the name SERVICE."""
    view = session.client.models.bind(*split(model), service, key=key)
    session.show(view, f"{view.name}: {view.model}:{view.version}")


@command.command()
@paged
@connected
def services(session: Session, limit: int, after: str | None) -> None:
    """List service names with the models behind them."""
    page = session.client.services.list(limit=limit, after=after)
    body = [
        (row.name, f"{row.model}:{row.version}", lines.moment(row.updated)) for row in page.items
    ]
    session.show(page, lines.rows(("service", "model", "since"), body, "no services"))


@command.command()
@click.argument("service")
@keyed
@connected
def rollback(session: Session, service: str, key: str | None) -> None:
    """Put the model back that SERVICE had before."""
    view = session.client.services.rollback(service, key=key)
    session.show(view, f"{view.name}: {view.model}:{view.version}")


@command.command()
@_model
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="the file")
@connected
def export(session: Session, model: str, output: Path | None) -> None:
    """Save a signed archive of this party's part of MODEL."""
    name, version = split(model)
    file = output or Path(f"{name}-{version}.tar")
    count = session.client.models.export(name, version, file)
    session.show({"file": str(file), "bytes": count}, str(file))


@command.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@keyed
@connected
def import_(session: Session, file: Path, key: str | None) -> None:
    """Take in a signed archive FILE, after its signature was checked."""
    view = session.client.models.import_(file, key=key)
    session.show(view, lambda: _text(view))


@command.command()
@_model
@click.option("--party", multiple=True, required=True, help="OLD=NEW party ids")
@keyed
@connected
def migrate(session: Session, model: str, party: tuple[str, ...], key: str | None) -> None:
    """Make a new version of MODEL in which parties have other ids."""
    view = session.client.models.migrate(*split(model), pairs(party, "--party"), key=key)
    session.show(view, lambda: _text(view))


@command.command()
@_model
@click.option("--table", multiple=True, required=True, help="PARTY=TABLE to score")
@click.option("--save", type=click.Path(path_type=Path), help="write the job here; do not submit")
@keyed
@wait_option
@connected
def predict(
    session: Session,
    model: str,
    table: tuple[str, ...],
    save: Path | None,
    key: str | None,
    wait: bool,
) -> int:
    """Submit a job that scores tables of all parties with MODEL."""
    made = session.client.models.predict_job(*split(model), pairs(table, "--table"))
    if save is not None:
        return save_job(session, made, save)
    return finish(session, session.client.jobs.submit(made, key=key), wait)
