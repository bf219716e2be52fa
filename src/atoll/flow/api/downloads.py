"""Artifacts as files for people and programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
from fastapi import Response
from fastapi.responses import FileResponse, StreamingResponse

from atoll.components.scores import Scores
from atoll.flow.api.services import Content
from atoll.flow.node.data_export import arrow_pieces, csv_pieces, parquet_pieces
from atoll.flow.work.artifacts import load
from atoll.jobs.errors import DeniedError
from atoll.table import Table

Form = Literal["csv", "parquet", "arrow"]

_WRITERS: Mapping[str, tuple[Callable[[Sequence[Any]], Iterator[bytes]], str]] = {
    "csv": (csv_pieces, "text/csv; charset=utf-8"),
    "parquet": (parquet_pieces, "application/vnd.apache.parquet"),
    "arrow": (arrow_pieces, "application/vnd.apache.arrow.file"),
}
_JSON = frozenset({"metrics", "statistics", "report", "boosting.model"})
_FILE = "file."
_PRIVATE = frozenset({"seed"})


def download(content: Content, form: Form | None) -> Response:
    """Make the answer that holds an artifact. Errors: ATL-API-014 it never leaves the node."""
    if content.kind in _PRIVATE:
        raise DeniedError("ATL-API-014", f"an artifact of kind {content.kind!r} stays in the node")
    if content.kind in {"table", "scores"}:
        write, media = _WRITERS[form or "csv"]
        value = load(content.kind, content.path, content.digest)
        pieces = write(_batches(value))
        return StreamingResponse(
            pieces, media_type=media, headers=_attachment(content.name, form or "csv")
        )
    if content.kind == "file":
        # A component named this file itself, ending and all; it is data, not a page.
        name = content.name.removeprefix(_FILE)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return FileResponse(content.path, media_type="application/octet-stream", headers=headers)
    is_json = content.kind in _JSON
    media = "application/json" if is_json else "application/octet-stream"
    headers = _attachment(content.name, "json" if is_json else "bin")
    return FileResponse(content.path, media_type=media, headers=headers)


def _attachment(name: str, ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}


def _batches(value: Table | Scores) -> Sequence[Any]:
    if isinstance(value, Table):
        return value.partitions
    columns = {"id": value.ids, "label": pa.array(value.label), "score": pa.array(value.score)}
    whole = pa.table(columns)
    return whole.to_batches() or [pa.RecordBatch.from_pylist([], schema=whole.schema)]
