"""Approvals state the first run that they are for: one new column."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Integer, inspect

from atoll.core.errors import InternalError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column if it is not there yet (a first run may have been interrupted on MariaDB)."""
    known = {column["name"] for column in inspect(op.get_bind()).get_columns("approvals")}
    if "run" not in known:
        op.add_column("approvals", Column("run", Integer, nullable=False, server_default="1"))


def downgrade() -> None:
    """Refuse: what was agreed to would be lost. Errors: ATL-STO-018."""
    raise InternalError("ATL-STO-018", "the database is never taken back to an older form")
