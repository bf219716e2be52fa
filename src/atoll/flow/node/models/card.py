"""What a person is shown of a registered model, as its kind has it."""

from __future__ import annotations

from typing import Any

from atoll.core.report import KeyValuePanel, Report
from atoll.flow.store import ModelRow
from atoll.flow.store.files import ArtifactFiles
from atoll.models.kinds import ModelKind


def card(row: ModelRow, kind: ModelKind, files: ArtifactFiles) -> Report:
    """Return the card of this party's part of a version.

    Errors: ATL-MOD-001 it is larger than its kind may be, ATL-STO-021 its file is gone.
    """
    size = files.size(row.digest)
    if size > kind.most_bytes:
        raise kind.too_large()
    part = kind.read(files.read(row.digest))
    facts = _facts(row, kind, part, size)
    return Report(title=f"{row.id}:{row.version}", panels=(facts, *kind.card(part)))


def _facts(row: ModelRow, kind: ModelKind, part: Any, size: int) -> KeyValuePanel:
    columns = kind.columns(part)
    return KeyValuePanel(
        title="Model",
        values={
            "kind": row.kind,
            "party": kind.party(part),
            "role": row.role,
            "stage": row.stage,
            "columns": len(columns),
            "bytes": size,
        },
    )
