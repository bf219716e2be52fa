"""Standing agreements and their sessions: two new tables, nothing of the others changes."""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.mysql import DOUBLE, LONGTEXT
from sqlalchemy.types import TypeEngine

from atoll.core.errors import InternalError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

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
BIG: TypeEngine[Any] = BigInteger().with_variant(Integer(), "sqlite")

# As much of the first form as the new tables refer to.
jobs = Table("jobs", metadata, Column("id", String(64), primary_key=True), **OPTIONS)

agreements = Table(
    "agreements",
    metadata,
    Column("id", String(128), primary_key=True, nullable=False),
    Column("job", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("step", String(128), nullable=False),
    Column("plan_digest", String(128), nullable=False),
    Column("party", String(128), nullable=False),
    Column("until", String(32), nullable=False),
    Column("day", String(32), nullable=False),
    Column("used_that_day", BIG, nullable=False),
    Column("used", BIG, nullable=False),
    Column("session", Integer, nullable=False),
    Column("created", MOMENT, nullable=False),
    Column("ended", MOMENT),
    Column("ended_by", String(256)),
    Column("reason", LONG),
    Column("terms", LONG, nullable=False),
    Column("plan", LONG, nullable=False),
    Index(None, "created", "id"),
    Index(None, "job"),
    **OPTIONS,
)

agreement_sessions = Table(
    "agreement_sessions",
    metadata,
    Column(
        "agreement",
        String(128),
        ForeignKey("agreements.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("units", BIG, nullable=False),
    Column("opened", MOMENT, nullable=False),
    Column("closed", MOMENT),
    Index(None, "closed"),
    **OPTIONS,
)


def upgrade() -> None:
    """Create what is not there yet (a first run may have been interrupted on MariaDB)."""
    made = [agreements, agreement_sessions]
    metadata.create_all(op.get_bind(), tables=made, checkfirst=True)


def downgrade() -> None:
    """Refuse: what was agreed to would be lost. Errors: ATL-STO-018."""
    raise InternalError("ATL-STO-018", "the database is never taken back to an older form")
