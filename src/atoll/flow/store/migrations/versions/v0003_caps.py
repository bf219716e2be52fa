"""Caps of tables: one new table, nothing of the others changes."""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import Column, Double, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import DOUBLE, LONGTEXT
from sqlalchemy.types import TypeEngine

from atoll.core.errors import InternalError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s"})

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
LONG: TypeEngine[Any] = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
MOMENT: TypeEngine[Any] = Double().with_variant(DOUBLE(asdecimal=False), "mysql", "mariadb")

caps = Table(
    "caps",
    metadata,
    Column("data", String(128), primary_key=True),
    Column("partner", String(128), primary_key=True),
    Column("changed_by", String(128)),
    Column("changed", MOMENT, nullable=False),
    Column("caps", LONG, nullable=False),
    **OPTIONS,
)


def upgrade() -> None:
    """Create what is not there yet (a first run may have been interrupted on MariaDB)."""
    metadata.create_all(op.get_bind(), tables=[caps], checkfirst=True)


def downgrade() -> None:
    """Refuse: what was agreed to would be lost. Errors: ATL-STO-018."""
    raise InternalError("ATL-STO-018", "the database is never taken back to an older form")
