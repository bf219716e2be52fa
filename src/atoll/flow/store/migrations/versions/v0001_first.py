"""The first form of the database."""

from __future__ import annotations

from alembic import op

from atoll.core.errors import InternalError
from atoll.flow.store.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what is not there yet (a first run may have been interrupted on MariaDB)."""
    metadata.create_all(op.get_bind(), checkfirst=True)


def downgrade() -> None:
    """Refuse: there is nothing before. Errors: ATL-STO-018."""
    raise InternalError("ATL-STO-018", "the database is never taken back to an older form")
