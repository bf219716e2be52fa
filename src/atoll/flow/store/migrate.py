"""Bring a database to the schema of this program, by the migrations inside the package.

On SQLite and PostgreSQL all steps are one transaction: an interrupted migration leaves what was
there. MariaDB commits each statement, so its steps can be run again over a half-done one.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from atoll.flow.store.faults import translate
from atoll.jobs.errors import ConflictError, EnvironmentFault

VERSION_TABLE = "schema_version"
_FOLDER = Path(__file__).with_name("migrations")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the name of the newest revision that this program knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise EnvironmentFault(
            "ATL-STO-009", "the migrations are missing", hint="install the package again"
        )
    return revision


def current(connection: Connection) -> str | None:
    """Return the revision that a database stands at; None if it is empty."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def needed(connection: Connection) -> bool:
    """Say whether a migration must run. Errors: ATL-STO-008 a newer program made the database."""
    revision = current(connection)
    if revision is not None:
        require_known(revision)
    return revision != head()


def require_known(revision: str) -> None:
    """Refuse a revision that this program does not know. Errors: ATL-STO-008."""
    scripts = ScriptDirectory.from_config(_config())
    try:
        scripts.get_revision(revision)
    except CommandError as error:
        raise ConflictError(
            "ATL-STO-008",
            "the database was made by a newer program",
            place=revision[:40],
            hint="install that version again, or restore a backup made before the upgrade",
        ) from error


def upgrade(engine: Engine, place: str, *, to: str = "head") -> str | None:
    """Run what is missing; return the revision before. Errors: ATL-STO-008, ATL-STO-009."""
    try:
        with engine.begin() as connection:
            before = current(connection)
            if needed(connection):
                command.upgrade(_config(connection), to)
    except SQLAlchemyError as error:
        raise translate(error, place) from error
    except CommandError as error:
        raise EnvironmentFault(
            "ATL-STO-009",
            "the database could not be brought to this version's form",
            place=place,
            hint="nothing is lost: restore the backup, or report it with the node's log",
        ) from error
    return before
