"""Server-sent events, line by line (WHATWG HTML, "Server-sent events")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atoll.sdk.wire import parse, unexpected

EVENT_BYTES = 4 << 20


@dataclass(frozen=True)
class ServerSentEvent:
    """One event: its name, id and data."""

    name: str
    id: str
    data: str

    def value(self) -> Any:
        """Return the data as JSON. Errors: ATL-SDK-010."""
        return parse(self.data.encode(), EVENT_BYTES)


class Lines:
    """Cuts a stream of bytes into lines, at line feeds alone: JSON may hold all other breaks."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that these bytes complete. Errors: ATL-SDK-010 an endless one."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > EVENT_BYTES:
            raise unexpected(200)
        return [line.removesuffix(b"\r").decode("utf-8", "replace") for line in whole]


class Reader:
    """Puts lines together to events."""

    def __init__(self) -> None:
        self._clear()
        self._id = ""

    def _clear(self) -> None:
        self._name, self._size = "", 0
        self._lines: list[str] = []

    def feed(self, line: str) -> ServerSentEvent | None:
        """Take a line without its end; return the event that it completes. Errors: ATL-SDK-010."""
        if not line:
            event = ServerSentEvent(self._name or "message", self._id, "\n".join(self._lines))
            whole = bool(self._lines)
            self._clear()
            return event if whole else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        self._size += len(line)
        if self._size > EVENT_BYTES:
            raise unexpected(200)
        if field == "data":
            self._lines.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        return None
