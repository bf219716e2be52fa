"""Artifacts as files for people and programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from fastapi import Response
from fastapi.responses import FileResponse

from atoll.components.kinds import is_own
from atoll.flow.api.sending import Pieces
from atoll.flow.api.services import Content
from atoll.jobs.errors import DeniedError

Form = Literal["csv", "parquet", "arrow"]

_MEDIA: Mapping[Form, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
}
_JSON = frozenset({"metrics", "statistics", "report"})
_JSON_MEDIA, _PLAIN_MEDIA = "application/json", "application/octet-stream"
_FILE = "file."
_PIECE_BYTES = 1 << 20
_PRIVATE = frozenset({"seed"})


def download(content: Content, form: Form | None) -> Response:
    """Make the answer that holds an artifact. Errors: ATL-API-014 it never leaves the node."""
    if content.kind in _PRIVATE or content.media == "":
        raise DeniedError("ATL-API-014", f"an artifact of kind {content.kind!r} stays in the node")
    if content.kind in {"table", "scores"}:
        from atoll.flow.api.pieces import pieces

        chosen: Form = form or "csv"
        return Pieces(
            pieces(content, chosen),
            media_type=_MEDIA[chosen],
            headers=_attachment(content.name, chosen),
        )
    if content.kind == "file":
        # A component named this file itself, ending and all; it is data, not a page.
        name = content.name.removeprefix(_FILE)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return FileResponse(content.path, media_type=_PLAIN_MEDIA, headers=headers)
    if content.media is None and is_own(content.kind):
        return _own(content)
    media = content.media or (_JSON_MEDIA if content.kind in _JSON else _PLAIN_MEDIA)
    headers = _attachment(content.name, "json" if media == _JSON_MEDIA else "bin")
    return FileResponse(content.path, media_type=media, headers=headers)


def _own(content: Content) -> Response:
    """Make the answer with what a component of others left, without the letter for its form."""
    with content.path.open("rb") as file:
        is_json = file.read(1) == b"j"

    def pieces() -> Iterator[bytes]:
        with content.path.open("rb") as file:
            file.seek(1)
            while piece := file.read(_PIECE_BYTES):
                yield piece

    headers = _attachment(content.name, "json" if is_json else "bin")
    media = _JSON_MEDIA if is_json else _PLAIN_MEDIA
    return Pieces(pieces(), media_type=media, headers=headers)


def _attachment(name: str, ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
