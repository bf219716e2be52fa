"""Bring a database to the schema of this program, by the migrations inside the package.

On SQLite and PostgreSQL all steps are one transaction: an interrupted migration leaves what was
there. MariaDB commits each statement, so its steps can be run again over a half-done one.
Alembic is loaded only when there is something to do.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import ColumnClause, Connection, Engine, column, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError

from atoll.flow.store.driver_errors import translate
from atoll.jobs.errors import ConflictError, EnvironmentFault

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "schema_version"
# The newest revision in ``migrations/versions``; a test compares.
HEAD = "0004"
# Alembic keeps what it works on in a module: one migration at a time in a process.
_ONE = threading.Lock()
_FOLDER = Path(__file__).with_name("migrations")


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's settings for our migrations."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def current(connection: Connection) -> str | None:
    """Return the revision that a database stands at; None if it is empty."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: ColumnClause[str] = column("version_num")
    query = select(version).select_from(table(VERSION_TABLE))
    revision = connection.execute(query).scalar_one_or_none()
    return revision


def needed(connection: Connection) -> bool:
    """Return whether a migration must run. Errors: ATL-STO-008 made by a newer program."""
    revision = current(connection)
    if revision is not None:
        require_known(revision)
    return revision != HEAD


def require_known(revision: str) -> None:
    """Refuse a revision that this program does not know. Errors: ATL-STO-008."""
    if revision == HEAD:
        return
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    try:
        ScriptDirectory.from_config(configuration()).get_revision(revision)
    except CommandError as error:
        raise ConflictError(
            "ATL-STO-008",
            "the database was made by a newer program",
            place=revision[:40],
            hint="install that version again, or restore a backup made before the upgrade",
        ) from error


def upgrade(engine: Engine, place: str, *, to: str = HEAD) -> str | None:
    """Run what is missing; return the revision before. Errors: ATL-STO-008, ATL-STO-009."""
    try:
        with engine.begin() as connection:
            before = current(connection)
            if before != to and needed(connection):
                _run(connection, place, to)
    except SQLAlchemyError as error:
        raise translate(error, place) from error
    return before


def _run(connection: Connection, place: str, to: str) -> None:
    from alembic import command
    from alembic.util.exc import CommandError

    try:
        with _ONE:
            command.upgrade(configuration(connection), to)
    except CommandError as error:
        raise EnvironmentFault(
            "ATL-STO-009",
            "the database could not be brought to this version's form",
            place=place,
            hint="nothing is lost: restore the backup, or report it with the node's log",
        ) from error
