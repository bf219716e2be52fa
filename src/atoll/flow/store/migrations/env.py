"""What Alembic runs first: our connection, our transaction, no logging of its own."""

from __future__ import annotations

from alembic import context

from atoll.flow.store.migrate import VERSION_TABLE
from atoll.flow.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
