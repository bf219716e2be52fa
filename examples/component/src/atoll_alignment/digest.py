"""One digest over the ids of a table in their order."""

from __future__ import annotations

import hashlib

from atoll.table import Table


def digest(table: Table | None, session: bytes) -> bytes:
    """Return 32 bytes that depend on every id and their order, and on the session.

    Equal ids give equal digests whatever the partitions, columns or name of the id column.
    """
    content = ""
    if table is not None:
        ids = table.without_label().select([])
        content = (ids if ids.id_name == "id" else ids.rename({ids.id_name: "id"})).digest()
    return hashlib.sha256(b"atoll-alignment/v1\0" + session + content.encode()).digest()
