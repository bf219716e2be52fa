"""``atoll admin``: the node's database and files, on its own machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atoll.cli.console import amount
from atoll.cli.node.options import chosen, folder_option
from atoll.cli.options import Output, confirm, printed, sure
from atoll.jobs.errors import ConflictError

if TYPE_CHECKING:
    from atoll.flow.node.configuration import Configuration
    from atoll.flow.node.folder import NodeFolder


@click.group()
def command() -> None:
    """Back up, restore, migrate and prune a node's database and files."""


def _load(at: NodeFolder) -> tuple[str, Configuration]:
    """Return the database's URL and the settings."""
    from atoll.flow.node.configuration import load
    from atoll.flow.node.doctor import database_url

    configuration = load(at.root)
    return database_url(at, configuration), configuration


def _must_rest(at: NodeFolder) -> None:
    """Refuse while the node runs: it alone writes its database. Errors: ATL-CLI-024."""
    if at.running() is not None:
        raise ConflictError(
            "ATL-CLI-024",
            "the node is running",
            place=str(at.root),
            hint="stop it first: atoll down",
        )


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--portable", is_flag=True, help="as JSON lines, for any kind of database")
@folder_option
@printed
def backup(output: Output, file: Path, portable: bool, folder: Path | None) -> None:
    """Write a backup to a new FILE while the node goes on; it holds no keys."""
    from atoll.flow.store import ArtifactFiles, Database
    from atoll.flow.store import backup as write

    at = chosen(folder)
    url, _ = _load(at)
    settings = {"atoll.toml": at.settings} if at.settings.exists() else {}
    with Database.open_reading(url) as database:
        made = write(
            database,
            ArtifactFiles(at.artifacts),
            file.absolute(),
            time.time(),
            portable=portable,
            settings=settings,
        )
    whole = {
        "file": str(made.path),
        "bytes": made.bytes,
        "artifacts": made.artifacts,
        "missing": made.missing,
    }
    output.show(whole, str(made.path))
    output.info(f"{amount(made.bytes)}, {made.artifacts} artifacts; keys are not in it")
    if made.missing:
        output.info(f"warning: {len(made.missing)} artifacts have a row, but no file")


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@folder_option
@printed
def restore(output: Output, file: Path, folder: Path | None) -> None:
    """Put a backup FILE back into a folder whose database is absent or empty."""
    from atoll.flow.access.audit import AuditLog
    from atoll.flow.store import Database
    from atoll.flow.store import restore as read

    at = chosen(folder)
    _must_rest(at)
    url, _ = _load(at)
    found = read(file.absolute(), url, at.artifacts, settings=at.root)
    ended: dict[str, Any] = {
        "grants": found.grants,
        "agreements": found.agreements,
        "codes": found.codes,
        "sessions": found.tokens,
    }
    with Database.open(url) as database:
        AuditLog(database).note("system", "node.restore", **ended, made=found.created)
    whole = {
        "rows": found.rows,
        "artifacts": found.artifacts,
        "missing": found.missing,
        "settings": found.settings,
        "grants": found.grants,
        "agreements": found.agreements,
        "codes": found.codes,
        "tokens": found.tokens,
        "users": found.users,
        "partners": found.partners,
        "caps": found.caps,
    }
    output.show(whole, f"{found.rows} rows, {found.artifacts} artifacts")
    if found.grants or found.agreements or found.codes:
        output.info(
            "what partners learned and used after this backup is not in it: "
            f"{found.grants} automatic grants wait for a person until they are granted again, "
            f"{found.agreements} standing agreements have ended, and {found.codes} open codes of "
            "invitation are withdrawn"
        )
    output.info(
        f"no password and none of {found.tokens} tokens and sessions of this backup holds any "
        "more; set passwords on this machine: atoll user password NAME"
    )
    output.info("what was changed after this backup is lost; compare with what you remember:")
    for of, lines in (
        ("users", found.users),
        ("partners trusted", found.partners),
        ("caps", found.caps),
    ):
        output.info(f"  {of}: {'; '.join(lines) or 'none'}")


@command.command()
@folder_option
@printed
def migrate(output: Output, folder: Path | None) -> None:
    """Bring the database to the form of this version; `atoll up` does so by itself."""
    from atoll.flow.store import Database
    from atoll.flow.store.migrate import HEAD

    at = chosen(folder)
    _must_rest(at)
    url, _ = _load(at)
    before = _revision(url)
    with Database.open(url):
        pass
    changed = before != HEAD
    whole = {"before": before, "after": HEAD, "changed": changed}
    output.show(whole, f"{before or 'nothing'} → {HEAD}" if changed else f"{HEAD}: nothing to do")


def _revision(url: str) -> str | None:
    """Return the form that a database has; None if it is empty or not there."""
    from atoll.flow.store import engine as engines
    from atoll.flow.store import migrate as migrations

    parts = engines.parse(url)
    file = engines.file_of(parts)
    if file is not None and not file.exists():
        return None
    engine = engines.make_engine(parts, writer=False)
    try:
        with engine.connect() as connection:
            return migrations.current(connection)
    finally:
        engine.dispose()


@command.command()
@click.option("--job-days", type=click.FloatRange(0), help="ended jobs older than this go")
@click.option("--artifact-days", type=click.FloatRange(0), help="outputs older than this go")
@click.option("--log-days", type=click.FloatRange(0), help="logs of steps older than this go")
@click.option("--jobs", type=click.IntRange(0), help="keep so many ended jobs, the newest")
@sure
@folder_option
@printed
def prune(
    output: Output,
    job_days: float | None,
    artifact_days: float | None,
    log_days: float | None,
    jobs: int | None,
    yes: bool,
    folder: Path | None,
) -> None:
    """Remove old jobs, outputs and logs, by the node's settings unless given here.

    Jobs that run and published models always stay. The node does this by itself while it runs.
    """
    from atoll.flow.store import ArtifactFiles, Database, Retention
    from atoll.flow.store import prune as remove

    at = chosen(folder)
    _must_rest(at)
    url, configuration = _load(at)
    kept = configuration.settings.retention
    policy = Retention(
        job_days=float(kept.job_days) if job_days is None else job_days,
        artifact_days=float(kept.artifact_days) if artifact_days is None else artifact_days,
        log_days=float(kept.log_days) if log_days is None else log_days,
        jobs=jobs,
    )
    confirm("Remove what the settings do not keep?", yes)
    with Database.open(url) as database:
        found = remove(
            database, ArtifactFiles(at.artifacts), policy, time.time(), job_folders=at.jobs
        )
    whole = {
        "jobs": found.jobs,
        "artifacts": found.artifacts,
        "logs": found.logs,
        "files": found.files.files,
        "bytes": found.files.bytes,
    }
    summary = f"{len(found.jobs)} jobs, {found.artifacts} artifacts, {found.logs} logs"
    output.show(whole, f"removed {summary}, {amount(found.files.bytes)} of outputs")
