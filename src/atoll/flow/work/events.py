"""Events: what a task reports while it goes on."""

from __future__ import annotations

from typing import Any, Protocol


class Events(Protocol):
    """Takes events; may be called from several threads."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Take one event."""
        ...


def silent(event: str, **fields: Any) -> None:
    """Take an event and drop it."""
