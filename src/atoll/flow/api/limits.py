"""How large a body may be and how long it may take, by what its address declares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.routing import compile_path

from atoll.flow.api.endpoints import Body, Endpoint
from atoll.flow.api.settings import ApiSettings

_NO_BODY = 4096


@dataclass(frozen=True)
class Bounds:
    """The most bytes of a body, and the seconds for the body and then for the answer to begin."""

    bytes: int
    body_seconds: float
    answer_seconds: float


class Limits:
    """The bounds of every request, known before a byte of its body is read."""

    def __init__(self, settings: ApiSettings, endpoints: Iterable[Endpoint]) -> None:
        self.settings = settings
        self._apart = [
            (one.method, compile_path(one.path)[0], one.body)
            for one in endpoints
            if one.body != "json"
        ]

    def of(self, method: str, path: str) -> Bounds:
        """Return the bounds of a request."""
        for other, pattern, body in self._apart:
            if method == other and pattern.fullmatch(path):
                return self._bounds(body)
        if method in {"GET", "HEAD", "OPTIONS", "DELETE"}:
            return self._within(_NO_BODY)
        return self._within(self.settings.body_bytes)

    def _bounds(self, body: Body) -> Bounds:
        settings = self.settings
        if body == "small":
            return Bounds(_NO_BODY, settings.stall_seconds, settings.request_seconds)
        largest = settings.upload_bytes if body == "upload" else settings.archive_bytes
        return Bounds(largest, settings.upload_seconds, settings.upload_seconds)

    def _within(self, largest: int) -> Bounds:
        return Bounds(largest, self.settings.body_seconds, self.settings.request_seconds)
