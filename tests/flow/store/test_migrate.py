"""Migrations: they make what ``schema`` says, are not interrupted half-way, and never go back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from atoll.core.errors import InternalError
from atoll.flow.store import Database, Meta, migrate, schema
from atoll.flow.store import engine as engines
from atoll.jobs.errors import ConflictError


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Make the writer's engine, and close its connections afterwards."""
    engine = engines.make_engine(engines.parse(url), writer=True)
    try:
        yield engine
    finally:
        engine.dispose()


def compared(connection: Connection) -> list[object]:
    options = {"version_table": migrate.VERSION_TABLE, "compare_type": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, schema.metadata))


def test_migrations_make_the_schema(fresh_url: str) -> None:
    with Database.open(fresh_url) as database:
        assert database.read(compared) == []


def test_the_comparison_can_fail(fresh_url: str) -> None:
    with Database.open(fresh_url) as database:
        database.write(lambda c: c.exec_driver_sql("ALTER TABLE jobs ADD COLUMN more INTEGER"))
        assert len(database.read(compared)) == 1


def test_the_newest_revision_is_the_named_one() -> None:
    scripts = ScriptDirectory.from_config(migrate.configuration())
    assert scripts.get_heads() == [migrate.HEAD]


def test_an_old_form_is_refused_or_migrated(fresh_url: str) -> None:
    with pytest.raises(ConflictError, match="ATL-STO-009"):
        Database.open(fresh_url, migrations=False)
    with Database.open(fresh_url) as database:
        Meta(database).set("a", "1")
    with Database.open(fresh_url, migrations=False) as database:
        assert Meta(database).get("a") == "1"


def test_a_newer_form_is_refused(fresh_url: str) -> None:
    with Database.open(fresh_url) as database:
        version = f"UPDATE {migrate.VERSION_TABLE} SET version_num = 'later'"
        database.write(lambda c: c.exec_driver_sql(version))
    for opening in (Database.open, Database.open_reading):
        with pytest.raises(ConflictError, match="ATL-STO-008"):
            opening(fresh_url)


def test_there_is_no_way_back(fresh_url: str) -> None:
    with Database.open(fresh_url) as database:
        with pytest.raises(InternalError, match="ATL-STO-018"):
            database.write(lambda c: command.downgrade(migrate.configuration(c), "base"))
        assert database.read(migrate.current) == migrate.HEAD


HEAD = migrate.HEAD
SECOND = """
from alembic import op
import sqlalchemy as sa
revision = "9999"
down_revision = "{head}"
def upgrade():
    op.create_table("first_half", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("jobs", sa.Column("more", sa.Integer))
    {then}
"""


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what adds a second revision to those of the package."""
    first = migrate.configuration

    def add(then: str) -> None:
        folder = tmp_path / "versions"
        folder.mkdir(exist_ok=True)
        (folder / "second.py").write_text(SECOND.format(then=then, head=HEAD))

        def configured(connection: Connection | None = None) -> object:
            config = first(connection)
            package = Path(migrate.__file__).with_name("migrations") / "versions"
            config.set_main_option("version_locations", f"{package}:{folder}")
            return config

        monkeypatch.setattr(migrate, "configuration", configured)

    return add


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_interrupted_migration_changes_nothing(
    fresh_url: str, second: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Database.open(fresh_url) as database:
        Meta(database).set("a", "1")
    second("raise KeyboardInterrupt")
    with monkeypatch.context() as patch, opened(fresh_url) as writing:
        patch.setattr(migrate, "HEAD", "9999")
        with pytest.raises(KeyboardInterrupt):
            migrate.upgrade(writing, "here", to="9999")
        with writing.begin() as connection:
            assert not inspect(connection).has_table("first_half")
            assert migrate.current(connection) == HEAD
    with Database.open(fresh_url) as database:
        assert Meta(database).get("a") == "1"
        assert database.read(compared) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_second_revision_runs(
    fresh_url: str, second: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Database.open(fresh_url) as database:
        Meta(database).set("a", "1")
    second("pass")
    monkeypatch.setattr(migrate, "HEAD", "9999")
    with opened(fresh_url) as writing:
        assert migrate.upgrade(writing, "here", to="9999") == HEAD
        with writing.begin() as connection:
            assert inspect(connection).has_table("first_half")
            assert not migrate.needed(connection)


def test_a_database_of_the_first_form_keeps_what_it_holds(fresh_url: str) -> None:
    with opened(fresh_url) as writing:
        assert migrate.upgrade(writing, "here", to="0001") is None
        with writing.begin() as connection:
            assert not inspect(connection).has_table("agreements")
            connection.execute(schema.meta.insert().values(name="a", value="1"))
    with pytest.raises(ConflictError, match="ATL-STO-009"):
        Database.open(fresh_url, migrations=False)
    with Database.open(fresh_url) as database:
        assert Meta(database).get("a") == "1"
        assert database.read(compared) == []


def test_a_half_created_schema_is_completed(fresh_url: str) -> None:
    """MariaDB commits each statement: what an interrupted first run made must not be in the way."""
    with opened(fresh_url) as writing, writing.begin() as connection:
        some = [schema.jobs, schema.meta, schema.tasks]
        schema.metadata.create_all(connection, tables=some)
    with Database.open(fresh_url) as database:
        assert database.read(compared) == []
