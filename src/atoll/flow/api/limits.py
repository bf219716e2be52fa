"""How large a body may be and how long it may take, by the address that it is sent to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from atoll.flow.api.settings import PREFIX, ApiSettings

_CONTENT = re.compile(re.escape(PREFIX) + r"/data/[^/]+/content")
_NO_BODY = 4096
_LOGIN = f"{PREFIX}/login"
_IMPORT = f"{PREFIX}/models/import"


@dataclass(frozen=True)
class Bounds:
    """The most bytes of a body, and the seconds for the body and then for the answer to begin."""

    bytes: int
    body_seconds: float
    answer_seconds: float


def bounds_of(method: str, path: str, settings: ApiSettings) -> Bounds:
    """Return the bounds of a request."""
    slow = settings.upload_seconds
    if method == "PUT" and _CONTENT.fullmatch(path):
        return Bounds(settings.upload_bytes, slow, slow)
    if method == "POST" and path == _IMPORT:
        return Bounds(settings.archive_bytes, slow, slow)
    if path == _LOGIN:
        # Anybody may send these, so they are small.
        return Bounds(_NO_BODY, settings.stall_seconds, settings.request_seconds)
    largest = _NO_BODY if method in {"GET", "HEAD", "OPTIONS", "DELETE"} else settings.body_bytes
    return Bounds(largest, settings.body_seconds, settings.request_seconds)
